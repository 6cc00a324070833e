"""Every field of every network of diffusers': its answer is ours to 1e-10, or the field is refused by name."""

import inspect
import json
import re

import diffusers
import pytest
import torch

import fromnoise
from fromnoise.convert import dit, unet, unet_condition
from fromnoise.convert.field import HARMLESS
from fromnoise.errors import Problem
from fromnoise.networks import Context
from tests.convert.test_networks import alike, exactly, ours_of
from tests.parts import stirred

DOWN, ATTN, UP, ATTN_UP = "DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"
CROSS, CROSS_UP, SCALE = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", {"resnet_time_scale_shift": "scale_shift"}
UNET = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "down_block_types": (DOWN, ATTN),
    "up_block_types": (ATTN_UP, UP),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
SHARED = {  # what is tried of each field beside its default, of fields that speak only beside others with those
    "sample_size": [16, (8, 16), [8, 8], None, 0, "small"],
    "in_channels": [{"in_channels": 1, "out_channels": 1}, 5, 0],
    "out_channels": [6, 1, None],
    "center_input_sample": [True, None, 0],
    "time_embedding_type": ["fourier", {"time_embedding_type": "learned", "num_train_timesteps": 1000}, None],
    "time_embedding_dim": [32, 64, 0],
    "freq_shift": [1, 2, 0.5, 4, True, "late"],
    "flip_sin_to_cos": [False, None, "no"],
    "mid_block_type": [None, "UNetMidBlock2DSimpleCrossAttn", "nonsense"],
    "layers_per_block": [2, 3, 0, 1.5, (1, 2)],
    "mid_block_scale_factor": [2.0, 0.5],
    "downsample_padding": [0, 2, None, True],
    "dropout": [0.3, 1, 2.0, None],
    "act_fn": ["swish", "mish", "gelu", "relu"],
    "norm_num_groups": [2, 8, 3, None],
    "norm_eps": [1e-6, 0.1, 0, None],
    "resnet_time_scale_shift": ["ada_group", "spatial", "nonsense", None],
    "class_embed_type": ["timestep", "identity", {"class_embed_type": "timestep", "num_class_embeds": 3}],
    "num_class_embeds": [7, 1, 0, True],
}
VALUES = {
    "UNet2DModel": SHARED
    | {
        "down_block_types": [
            {"down_block_types": (DOWN, DOWN), "up_block_types": (UP, UP)},
            {"down_block_types": (ATTN, ATTN), "up_block_types": (ATTN_UP, ATTN_UP)},
            {"down_block_types": (ATTN, DOWN), "up_block_types": (UP, ATTN_UP)},
            *((DOWN, kind) for kind in (DOWN, "SkipDownBlock2D", "AttnSkipDownBlock2D", "ResnetDownsampleBlock2D", "KDownBlock2D")),
            (DOWN, "UNetResAttnDownBlock2D"),
            (DOWN,),
            None,
        ],
        "up_block_types": [
            *((kind, UP) for kind in (UP, "SkipUpBlock2D", "AttnSkipUpBlock2D", "ResnetUpsampleBlock2D", "KUpBlock2D", "UNetResAttnUpBlock2D")),
            (ATTN_UP, ATTN_UP),
            (ATTN_UP,),
            ATTN_UP,
        ],
        "block_out_channels": [(16, 16), (8, 24), (8, 12), (16, 8), (24, 56), (8,), (8, 16, 16), (8, 16.0), 8],
        "downsample_type": ["resnet", None, "nonsense"],
        "upsample_type": ["resnet", None, "nonsense"],
        "attention_head_dim": [4, None, 16, 5, 64, 0, (4, 8)]
        + [{"attention_head_dim": head, "down_block_types": (ATTN, DOWN), "up_block_types": (UP, ATTN_UP)} for head in (None, 8, 16)]
        + [{"attention_head_dim": 8, "block_out_channels": (16, 24), "down_block_types": (ATTN, DOWN), "up_block_types": (UP, ATTN_UP)}]
        + [{"attention_head_dim": 16, "block_out_channels": (16, 24), "down_block_types": (ATTN, DOWN), "up_block_types": (UP, ATTN_UP)}]
        + [{"attention_head_dim": 12, "block_out_channels": (8, 16), "down_block_types": (DOWN, DOWN), "up_block_types": (UP, UP)}],
        "resnet_time_scale_shift": [*SHARED["resnet_time_scale_shift"], SCALE, SCALE | {"add_attention": False}, SCALE | {"attn_norm_num_groups": 4}],
        "attn_norm_num_groups": [2, 4, 0, SCALE | {"attn_norm_num_groups": 2}, {"attn_norm_num_groups": 2, "add_attention": False}],
        "add_attention": [False, None, {"add_attention": False, "down_block_types": (DOWN, DOWN), "up_block_types": (UP, UP)}],
        "num_train_timesteps": [1000, 500],
    },
    "DiTTransformer2DModel": {
        "num_attention_heads": [1, 4, 0, 1.5],
        "attention_head_dim": [16, 4, 7, None],
        "in_channels": [3, 1, 0],
        "out_channels": [3, 6, 8, 0],
        "num_layers": [1, 2, 0],
        "dropout": [0.3, 2.0, None],
        "norm_num_groups": [16, None],
        "attention_bias": [False, None],
        "sample_size": [4, 16, 9, (8, 8), (4, 8), None],
        "patch_size": [1, 4, 3, None, (2, 2)],
        "activation_fn": ["gelu", "geglu", "silu", None],
        "num_embeds_ada_norm": [1, 12, None, 0],
        "upcast_attention": [True, None],
        "norm_type": ["ada_norm", "ada_norm_single", "layer_norm"],
        "norm_elementwise_affine": [True, None],
        "norm_eps": [1e-6, 0.1, 0, None],
    },
    "UNet2DConditionModel": SHARED
    | {
        "class_embed_type": [*SHARED["class_embed_type"], "projection", "simple_projection"],
        "time_embedding_type": ["fourier", None],
        "down_block_types": [
            {"down_block_types": (CROSS, CROSS), "up_block_types": (CROSS_UP, CROSS_UP)},
            {"down_block_types": (CROSS, DOWN), "up_block_types": (UP, CROSS_UP)},
            *((CROSS, kind) for kind in (CROSS, ATTN, "SimpleCrossAttnDownBlock2D", "SkipDownBlock2D")),
            {"down_block_types": (CROSS, ATTN), "up_block_types": (ATTN_UP, CROSS_UP)},
        ],
        "up_block_types": [*((kind, CROSS_UP) for kind in (CROSS_UP, ATTN_UP, "SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D")), (UP,)],
        "mid_block_type": [*SHARED["mid_block_type"], "UNetMidBlock2D"],
        "block_out_channels": [(16, 16), (16, 24), (8, 12), (8,)],
        "only_cross_attention": [True, (True, False)],
        "cross_attention_dim": [8, 24, (12, 12), None],
        "transformer_layers_per_block": [2, (1, 2), None],
        "reverse_transformer_layers_per_block": [((1,), (1, 1)), (1, 1)],
        "encoder_hid_dim": [10, {"encoder_hid_dim": 10, "encoder_hid_dim_type": "text_proj"}],
        "encoder_hid_dim_type": [{"encoder_hid_dim": 10, "encoder_hid_dim_type": "image_proj"}, "text_proj", "ip_image_proj"],
        "attention_head_dim": [2, 4, 8, 3, (2, 4), None],
        "num_attention_heads": [2, 4],
        "dual_cross_attention": [True],
        "use_linear_projection": [True, None],
        "addition_embed_type": ["text", "text_time", "image"],
        "addition_time_embed_dim": [8, {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 8}],
        "upcast_attention": [True, None],
        "resnet_skip_time_act": [True],
        "resnet_out_scale_factor": [2.0, 0.5],
        "time_embedding_act_fn": ["silu", "gelu"],
        "timestep_post_act": ["silu", "gelu"],
        "time_cond_proj_dim": [8],
        "conv_in_kernel": [1, 5],
        "conv_out_kernel": [1, 5],
        "projection_class_embeddings_input_dim": [{"class_embed_type": "projection", "projection_class_embeddings_input_dim": 8}, 8],
        "attention_type": ["gated", "gated-text-image"],
        "class_embeddings_concat": [True, {"class_embeddings_concat": True, "num_class_embeds": 3}],
        "mid_block_only_cross_attention": [True],
        "cross_attention_norm": ["layer_norm", "group_norm"],
        "addition_embed_type_num_heads": [16, {"addition_embed_type": "text", "addition_embed_type_num_heads": 2}],
    },
}
BASES = {
    "UNet2DModel": UNET,
    "DiTTransformer2DModel": {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "num_embeds_ada_norm": 5,
        "sample_size": 8,
    },
    "UNet2DConditionModel": UNET
    | {"down_block_types": (CROSS, DOWN), "up_block_types": (UP, CROSS_UP), "cross_attention_dim": 12, "attention_head_dim": 2},
}
PARTS = {"UNet2DModel": unet, "DiTTransformer2DModel": dit, "UNet2DConditionModel": unet_condition}


def fields(kind: str) -> dict[str, inspect.Parameter]:
    return {name: p for name, p in inspect.signature(getattr(diffusers, kind).__init__).parameters.items() if name != "self"}


def cases() -> list:
    found = [pytest.param(kind, {}, id=f"{kind}-base") for kind in PARTS]
    for kind in PARTS:
        for field in fields(kind):
            for value in VALUES[kind][field]:  # a field that diffusers adds is a KeyError here
                config = value if isinstance(value, dict) else {field: value}
                found.append(pytest.param(kind, config, id=f"{kind}-{str(config)[:70]}"))
    return found


def written(kind: str, config: dict):
    """Their network and its config.json; None where diffusers has no such network, and then with the settings as they would be written."""
    try:
        theirs = getattr(diffusers, kind)(**{**BASES[kind], **config})
        theirs = stirred(alike(theirs) if kind == "DiTTransformer2DModel" else theirs)
        return alike(theirs) if kind == "DiTTransformer2DModel" else theirs, json.loads(theirs.to_json_string())
    except Exception:  # of every kind, for what nobody can build
        defaults = {name: p.default for name, p in fields(kind).items()}
        return None, json.loads(json.dumps({"_class_name": kind, **defaults, **BASES[kind], **config}))


def same_answer(kind: str, theirs, network, table, size) -> bool:
    """At the ends of time and between, with a class where there are some, in float64."""
    theirs, c = exactly(theirs.double()).eval(), theirs.config
    x, t = torch.randn(4, c.in_channels, *size, dtype=torch.float64), torch.tensor([0, 1, 500, 999])
    words, context, told = torch.randn(4, 5, 12, dtype=torch.float64), Context(), {}
    if table is not None:
        told["class_labels"] = torch.arange(4) % len(table)
        context = Context(vector=table.double()[told["class_labels"]])
    if kind == "UNet2DConditionModel":
        words = words[..., : c.cross_attention_dim] if c.cross_attention_dim <= 12 else torch.cat([words, words], -1)
        told["encoder_hidden_states"], context = words, Context(tokens=words, vector=context.vector)
    with torch.no_grad():
        expected, found = theirs(x, t, **told).sample, network.double()(x, t.double() / 1000, context)
    expected = expected[:, : found.shape[1]]  # without the variance
    return expected.shape == found.shape and float((found - expected).abs().max() / expected.abs().max()) < 1e-10


@pytest.mark.parametrize(("kind", "config"), cases())
def test_a_field_answers_as_in_diffusers_or_is_refused_by_name(kind, config, tmp_path):
    theirs, content = written(kind, config)
    try:
        if theirs is None:
            PARTS[kind].network(content)
            pytest.fail("diffusers has no such network, and it was taken")
        if kind == "UNet2DConditionModel":  # which works on latents, so that no folder of it is read
            network, table = ours_of(unet_condition, content, theirs.state_dict(), torch.float64)
            size = [8, 8]
        else:
            theirs.save_pretrained(tmp_path)
            model = fromnoise.load(tmp_path, "cpu")
            network, size = model.denoiser.network, model.shape[1:]
            table = model.state_dict().get("conditions.label.embed.weight")
            sizes = content["sample_size"]
            assert list(size) == ([sizes] * 2 if isinstance(sizes, int) else list(sizes))
    except Problem as problem:
        assert any(name in str(problem) for name in config) and "\n" not in str(problem)
        return
    assert same_answer(kind, theirs, network, table, size)
    assert {m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)} <= {content["dropout"]}


@pytest.mark.parametrize("kind", PARTS)
def test_the_fields_are_those_of_diffusers_with_its_defaults(kind):
    own, known = {name: p.default for name, p in fields(kind).items()}, {name: field.default for name, field in PARTS[kind].FIELDS.items()}
    assert known.keys() <= own.keys() and own.keys() - known.keys() <= HARMLESS.keys()
    assert {name: own[name] for name in known} == known
    assert set(VALUES[kind]) >= own.keys()


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("value", [True, 0, 0.5, "word", [1]])
def test_a_field_that_nobody_knows_is_refused(kind, value):
    config = {"_class_name": kind, "_diffusers_version": "9.9", "_name_or_path": "somewhere", **BASES[kind]}
    with pytest.raises(Problem, match=re.escape(f"new_norm {value!r} of {kind} is a field that fromnoise does not know")):
        PARTS[kind].network({**config, "new_norm": value})
    averaged = {"decay": 0.9999, "optimization_step": 7, "inv_gamma": 1.0, "power": 0.75, "use_ema_warmup": True}  # as in unet_ema/
    assert PARTS[kind].network({**config, **averaged, "new_norm": None}) == PARTS[kind].network(config)
