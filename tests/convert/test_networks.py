"""The same random weights give the same answers in diffusers and here."""

import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet2DConditionModel, UNet2DModel
from torch import nn

from fromnoise.config import build
from fromnoise.convert import dit, to_ours, to_theirs, unet, unet_condition
from fromnoise.errors import Problem
from fromnoise.networks import NETWORKS, Context
from tests.parts import stirred

PREFIX = "denoiser.network."
TWO = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 16}
FLAT = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
LAST = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
UNETS = {
    "defaults": {**TWO, **LAST},
    "google/ddpm-cifar10-32": {
        "block_out_channels": (32, 64, 64, 64),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "attention_head_dim": None,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-6,
        "sample_size": 32,
    },
    "scale_shift": {**TWO, **LAST, "resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 8},
    "no attention": {**TWO, **FLAT, "add_attention": False},
    "attention in the middle": {**TWO, **FLAT, "in_channels": 1, "out_channels": 1},
    "classes": {**TWO, **LAST, "num_class_embeds": 7},
    "uneven widths": {**TWO, **FLAT, "block_out_channels": (32, 48)},
}
DITS = {
    "plain": {"norm_eps": 1e-5},
    "published": {"norm_eps": 1e-6, "patch_size": 4},
    "a learned variance": {"out_channels": 6},
}


def alike(theirs: DiTTransformer2DModel) -> DiTTransformer2DModel:
    """With one embedding of t and class for all blocks, as in every model that was trained so."""
    for block in theirs.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(theirs.transformer_blocks[0].norm1.emb.state_dict())
    return theirs


class Exact(nn.Module):
    """diffusers' sinusoids in float64; their own are float32 whatever the network is."""

    def __init__(self, was: nn.Module):
        super().__init__()
        half = was.num_channels // 2
        self.frequencies = 10000 ** (-torch.arange(half, dtype=torch.float64) / (half - was.downscale_freq_shift))
        self.order = 1 if was.flip_sin_to_cos else -1

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        angle = t[:, None].double() * self.frequencies
        return torch.cat([angle.cos(), angle.sin()][:: self.order], 1)


def exactly(theirs: nn.Module) -> nn.Module:
    for module in list(theirs.modules()):
        if hasattr(module, "time_proj") and theirs.dtype == torch.float64:
            module.time_proj = Exact(module.time_proj)
    return theirs


def ours_of(part, config: dict, weights: dict, dtype: torch.dtype) -> tuple[nn.Module, torch.Tensor | None]:
    node = part.network(config)
    tensors = to_ours(part.rows(config), weights)
    table = tensors.pop("conditions.label.embed.weight", None)
    network = build(NETWORKS, node, "network", channels=config["in_channels"]).to(dtype)
    network.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()})
    return network.eval(), table


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"])
@pytest.mark.parametrize("case", UNETS)
def test_unets_agree(case, dtype, close):
    theirs = exactly(stirred(UNet2DModel(**UNETS[case])).to(dtype))
    config = dict(theirs.config)
    network, table = ours_of(unet, config, theirs.state_dict(), dtype)
    x = torch.randn(3, config["in_channels"], 16, 16, dtype=dtype)
    t, labels = torch.tensor([0, 3, 871]), torch.tensor([6, 0, 2])
    with torch.no_grad():
        expected = theirs(x, t, class_labels=labels if table is not None else None).sample
        found = network(x, t.to(dtype) / 1000, Context(vector=None if table is None else table[labels]))
    assert float((found - expected).abs().max() / expected.abs().max()) < close


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"])
@pytest.mark.parametrize("case", DITS)
def test_dits_agree(case, dtype, close):
    settings = {"num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 3, "num_layers": 3, "num_embeds_ada_norm": 5}
    theirs = stirred(alike(DiTTransformer2DModel(**{"sample_size": 16, **settings, **DITS[case]})))
    theirs = exactly(alike(theirs).to(dtype))
    config = dict(theirs.config)
    network, table = ours_of(dit, config, theirs.state_dict(), dtype)
    x, t, labels = torch.randn(3, 3, 16, 16, dtype=dtype), torch.tensor([0, 3, 871]), torch.tensor([5, 0, 2])
    with torch.no_grad():
        expected = theirs(x, t, class_labels=labels).sample[:, :3]
        found = network(x, t.to(dtype) / 1000, Context(vector=table[labels]))
    assert float((found - expected).abs().max() / expected.abs().max()) < close


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"])
@pytest.mark.parametrize("linear", [False, True], ids=["convolutions", "linear"])
def test_stable_diffusions_unet_agrees(linear, dtype, close):
    """The shape of Stable Diffusion 1 at a tenth of its width: words, a mask of them, and back again every weight."""
    shape = {
        "block_out_channels": (32, 64, 128, 128),
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "norm_num_groups": 16,
        "sample_size": 16,
    }
    theirs = exactly(stirred(UNet2DConditionModel(**shape, use_linear_projection=linear)).to(dtype))
    config, weights = dict(theirs.config), theirs.state_dict()
    network, _ = ours_of(unet_condition, config, weights, dtype)
    x, t, words = torch.randn(2, 4, 16, 16, dtype=dtype), torch.tensor([3, 871]), torch.randn(2, 7, 24, dtype=dtype)
    mask = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])
    with torch.no_grad():
        expected = theirs(x, t, words, encoder_attention_mask=mask).sample
        found = network(x, t.to(dtype) / 1000, Context(tokens=words, mask=mask))
    assert float((found - expected).abs().max() / expected.abs().max()) < close
    rows = unet_condition.rows(config)
    back = to_theirs(rows, to_ours(rows, weights))
    assert back.keys() == weights.keys() and all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize(("part", "config"), [(unet, UNETS[c]) for c in UNETS] + [(dit, DITS["plain"])], ids=[*UNETS, "dit"])
def test_there_and_back_again_is_every_weight(part, config):
    theirs = (UNet2DModel if part is unet else DiTTransformer2DModel)(**config, **({} if part is unet else {"num_layers": 2}))
    theirs = theirs if part is unet else alike(theirs)
    rows, weights = part.rows(dict(theirs.config)), theirs.state_dict()
    back = to_theirs(rows, to_ours(rows, weights))
    assert back.keys() == weights.keys() and all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("part", "wrong", "says"),
    [
        (unet, {"act_fn": "gelu"}, "act_fn 'gelu'"),
        (unet, {"downsample_type": "resnet"}, "downsample_type"),
        (unet, {"time_embedding_type": "fourier"}, "time_embedding_type"),
        (unet, {"mid_block_type": None}, "mid_block_type"),
        (unet, {"class_embed_type": "timestep"}, "class_embed_type"),
        (unet, {"out_channels": 6}, "in_channels 3, out_channels 6"),
        (unet, {"down_block_types": ["SkipDownBlock2D"] * 4}, "SkipDownBlock2D"),
        (unet, {"up_block_types": ["UpBlock2D"] * 4}, "other levels attend"),
        (unet, {"resnet_time_scale_shift": "scale_shift"}, "attn_norm_num_groups"),
        (unet, {"attention_head_dim": 100}, "attention_head_dim 100, .* do not divide"),
        (unet_condition, {"transformer_layers_per_block": [1, 2]}, "transformer_layers_per_block"),
        (unet_condition, {"attention_head_dim": [5, 10]}, r"attention_head_dim \[5, 10\]"),
        (dit, {"activation_fn": "geglu"}, "activation_fn"),
        (dit, {"out_channels": 5}, "in_channels 4, out_channels 5"),
        (dit, {"norm_type": "ada_norm_single"}, "norm_type"),
    ],
    ids=str,
)
def test_what_we_have_not_is_named(part, wrong, says):
    with pytest.raises(Problem, match=says):
        part.network(wrong)


def test_blocks_with_embeddings_of_their_own_are_refused():
    theirs = DiTTransformer2DModel(num_attention_heads=2, attention_head_dim=8, num_layers=2, num_embeds_ada_norm=3)
    with pytest.raises(Problem, match="differ"):
        to_ours(dit.rows(dict(theirs.config)), theirs.state_dict())
