"""diffusers' autoencoders and ours: the same random weights give the same moments and pictures, in both directions."""

import json

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, VQModel
from safetensors.torch import load_file, save_file

from fromnoise.autoencoders import AUTOENCODERS
from fromnoise.convert import autoencoder as exchange
from fromnoise.convert.autoencoder import Scale
from fromnoise.errors import Problem
from tests.parts import stirred

PLAIN = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
TWO = {**PLAIN, "block_out_channels": (8, 16), "norm_num_groups": 4, "sample_size": 16}
LAST = {
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
}
THREE = {
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (8, 12, 8),
    "norm_num_groups": 2,
}
THEIRS = {
    "kl, class defaults": (AutoencoderKL, {}),
    "kl f2": (AutoencoderKL, TWO),
    "kl f4, uneven, no attention, as Stable Diffusion 3": (
        AutoencoderKL,
        {**THREE, "layers_per_block": 2, "use_quant_conv": False, "use_post_quant_conv": False, "mid_block_add_attention": False},
    ),
    "kl, attention at a level, grey": (AutoencoderKL, {**TWO, **LAST, "in_channels": 1, "out_channels": 1, "latent_channels": 2}),
    "vq": (VQModel, {**TWO, "num_vq_embeddings": 12}),
    "vq of other codes": (VQModel, {**TWO, **LAST, "num_vq_embeddings": 9, "vq_embed_dim": 5, "latent_channels": 2}),
    "tiny": (AutoencoderTiny, {}),
    "tiny, f4": (
        AutoencoderTiny,
        {
            "encoder_block_out_channels": (8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8),
            "num_encoder_blocks": (1, 0, 2),
            "num_decoder_blocks": (2, 0, 1),
            "latent_channels": 16,
            "in_channels": 1,
            "out_channels": 1,
        },
    ),
}
NODES = {
    "kl": ({"name": "kl", "width": 8, "levels": [1, 2, 3], "blocks": 1, "groups": 4, "attention": [0], "latent": 3}, 2),
    "kl bare": ({"name": "kl", "width": 8, "levels": [1], "quant": False, "middle": False, "groups": 2}, 3),
    "vq": ({"name": "vq", "width": 8, "levels": [1, 1.5], "blocks": 2, "groups": 4, "codes": 7, "latent": 2, "inner": 4}, 3),
    "tiny": ({"name": "tiny", "width": 8, "blocks": [2, 1]}, 3),
}


def ours(taken: exchange.Taken) -> torch.nn.Module:
    settings = {key: value for key, value in taken.node.items() if key != "name"}
    made = AUTOENCODERS[taken.node["name"]](channels=taken.channels, **settings)
    made.load_state_dict(taken.tensors)
    return made.eval()


def agree(mine: torch.nn.Module, theirs: torch.nn.Module, sides=((16, 16), (24, 16))) -> None:
    """Moments and pictures, to 1e-5 in float32 and 1e-10 in float64, at the trained size and beyond."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        mine, theirs = mine.to(dtype), theirs.to(dtype)
        for size in sides:
            x = torch.randn(1, theirs.config.in_channels, *size, dtype=dtype)
            with torch.no_grad():
                (mean, log_variance), found = mine.moments(x), theirs.encode(x)
                if log_variance is None:
                    expected = found.latents
                else:
                    expected = found.latent_dist.mean
                    assert torch.allclose(log_variance, found.latent_dist.logvar, rtol=tolerance, atol=tolerance)
                assert torch.allclose(mean, expected, rtol=tolerance, atol=tolerance)
                assert torch.allclose(mine.decode(mean), theirs.decode(expected).sample, rtol=tolerance, atol=tolerance)


def saved(kind, settings: dict, folder) -> torch.nn.Module:
    torch.manual_seed(0)
    theirs = stirred(kind(**settings))
    theirs.save_pretrained(folder)
    return theirs


@pytest.mark.parametrize("name", THEIRS)
def test_theirs_as_ours_and_back(tmp_path, name):
    kind, settings = THEIRS[name]
    theirs = saved(kind, settings, tmp_path / "theirs")
    taken = exchange.read(tmp_path / "theirs")
    agree(ours(taken), theirs)
    assert taken.notes == ()
    assert exchange.write(tmp_path / "back", taken.node, taken.channels, taken.tensors, taken.scale) == kind.__name__
    before, after = (load_file(tmp_path / place / "diffusion_pytorch_model.safetensors") for place in ("theirs", "back"))
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    again = kind.from_pretrained(tmp_path / "back")
    assert {key: again.config[key] for key in settings if key != "sample_size"} == {
        key: list(value) if isinstance(value, tuple) else value for key, value in settings.items() if key != "sample_size"
    }
    assert again.config.scaling_factor == pytest.approx(theirs.config.scaling_factor, rel=1e-12)


@pytest.mark.parametrize("name", NODES)
def test_ours_as_theirs(tmp_path, name):
    node, channels = NODES[name]
    torch.manual_seed(1)
    mine = stirred(AUTOENCODERS[node["name"]](channels=channels, **{key: value for key, value in node.items() if key != "name"}))
    kind = exchange.write(tmp_path / "theirs", node, channels, mine.state_dict())
    theirs = {"AutoencoderKL": AutoencoderKL, "VQModel": VQModel, "AutoencoderTiny": AutoencoderTiny}[kind].from_pretrained(
        tmp_path / "theirs"
    )
    assert theirs.config.scaling_factor == 1
    agree(mine, theirs)
    back = exchange.read(tmp_path / "theirs")
    assert back.channels == channels and all(torch.equal(tensor, back.tensors[key]) for key, tensor in mine.state_dict().items())


def test_attention_by_its_older_names(tmp_path):
    theirs = saved(AutoencoderKL, TWO, tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, tensor in load_file(file).items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        tensors[name] = tensor
    assert "encoder.mid_block.attentions.0.proj_attn.bias" in tensors
    save_file(tensors, file)
    agree(ours(exchange.read(tmp_path)), theirs)


def test_a_pipelines_part_is_found(tmp_path):
    saved(AutoencoderKL, TWO, tmp_path / "vae")
    assert exchange.read(tmp_path).node["name"] == "kl"
    with pytest.raises(Problem, match="AutoencoderKL, VQModel, AutoencoderTiny"):
        exchange.read(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("fields", "scale"),
    [
        ({}, Scale((0.0,), (1 / 0.18215,))),
        ({"scaling_factor": 1.5305, "shift_factor": 0.0609}, Scale((0.0609,), (1 / 1.5305,))),
        (
            {"scaling_factor": 0.5, "latents_mean": [-1.6, 2.2, 0.1, 3.0], "latents_std": [8.0, 5.0, 8.5, 4.0]},
            Scale((-1.6, 2.2, 0.1, 3.0), (16.0, 10.0, 17.0, 8.0)),
        ),
    ],
)
def test_the_scale_is_that_of_the_pipelines(tmp_path, fields, scale):
    """(z - shift) scaling_factor, and with moments of each channel (z - mean) scaling_factor / std; without a field, the class's own default."""
    saved(AutoencoderKL, {**TWO, **fields}, tmp_path / "theirs")
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())
    for key in ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "sample_size", "act_fn"):
        if key not in fields:
            del config[key]
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(config))
    taken = exchange.read(tmp_path / "theirs")
    assert taken.scale.mean == pytest.approx(scale.mean) and taken.scale.std == pytest.approx(scale.std)
    exchange.write(tmp_path / "back", taken.node, 3, taken.tensors, taken.scale)
    again = exchange.read(tmp_path / "back").scale
    assert again.mean == pytest.approx(scale.mean) and again.std == pytest.approx(scale.std)


KL, VQ, TINY = (AutoencoderKL, TWO), (VQModel, {**TWO, "num_vq_embeddings": 4}), THEIRS["tiny, f4"]


@pytest.mark.parametrize(
    ("theirs", "fields", "words"),
    [
        (KL, {"act_fn": "relu"}, "act_fn 'relu' of AutoencoderKL"),
        (KL, {"out_channels": 1}, "as many channels out as in"),
        (KL, {"down_block_types": ["DownEncoderBlock2D", "SkipDownBlock2D"]}, "down_block_types"),
        (KL, {"down_block_types": LAST["down_block_types"]}, "other levels attend"),
        (KL, {"block_out_channels": [8, 16, 16]}, "different numbers of levels"),
        (KL, {"norm_num_groups": 3}, "groups do not divide"),
        (KL, {"latents_mean": [0.0] * 4}, "one is told without the other"),
        (KL, {"latents_mean": [0.0] * 3, "latents_std": [1.0] * 3}, "different numbers of channels"),
        (KL, {"latents_mean": [0.0] * 4, "latents_std": [0.0] * 4}, "not above 0"),
        (KL, {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4, "shift_factor": 0.1}, "both are told"),
        (KL, {"scaling_factor": 0}, "scaling_factor 0"),
        (KL, {"wavelets": 2}, "does not know"),
        (KL, {"latent_channels": 5}, "do not belong together: encoder.conv_out.2.weight"),
        (VQ, {"norm_type": "spatial"}, "norm_type 'spatial'"),
        (TINY, {"upsample_fn": "bilinear"}, "upsample_fn"),
        (TINY, {"upsampling_scaling_factor": 4}, "upsampling_scaling_factor"),
        (TINY, {"decoder_block_out_channels": [8, 8, 16]}, "equally wide"),
        (TINY, {"num_decoder_blocks": [1, 0, 2]}, "reverse order"),
        (TINY, {"num_decoder_blocks": [2, 0], "num_encoder_blocks": [0, 2]}, "different numbers of levels"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(tmp_path, theirs, fields, words):
    saved(*theirs, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | fields))
    with pytest.raises(Problem, match=words):
        exchange.read(tmp_path)


@pytest.mark.parametrize("kind", [AutoencoderKL, VQModel, AutoencoderTiny])
def test_every_field_of_theirs_is_known_with_its_default(kind):
    import inspect

    parameters = {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items() if name != "self"}
    known = exchange.KINDS[kind.__name__].fields
    assert set(parameters) == set(known) - {"block_out_channels" if kind is AutoencoderTiny else ""}
    assert {name: known[name].default for name in parameters} == parameters


@pytest.mark.parametrize(
    ("node", "scale", "words"),
    [
        ({"name": "conv_ae"}, Scale((0.0,), (1.0,)), "no counterpart of the autoencoder conv_ae"),
        ({"name": "kl", "width": 16, "levels": [1, 2], "blocks": 1}, Scale((0.0,), (1.0,)), "4, 8 groups"),
        ({"name": "kl", "width": 16, "levels": [1], "axes": 1}, Scale((0.0,), (1.0,)), "axes=1"),
        ({"name": "vq", "width": 8, "levels": [1], "fsq": [3, 3]}, Scale((0.0,), (1.0,)), "finite scalars"),
        ({"name": "vq", "width": 8, "levels": [1], "codes": 4}, Scale((0.0,), (1.0, 2.0, 3.0)), "VQModel has no latents_mean, latents_std"),
    ],
)
def test_what_diffusers_has_not_is_not_exported(tmp_path, node, scale, words):
    with pytest.raises(Problem, match=words):
        exchange.write(tmp_path / "theirs", node, 3, {}, scale)
    assert not (tmp_path / "theirs").exists()
