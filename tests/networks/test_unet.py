import re

import pytest
import torch
from diffusers import UNet2DModel
from torch import nn

from fromnoise.errors import Usage
from fromnoise.networks import Context, UNet


def stirred(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with no weight zero, so that every path counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def small(**settings) -> UNet:
    return UNet(**{"channels": 3, "width": 8, "levels": (1, 2, 2), "blocks": 1, "attention": [2], **settings})


def test_ddpms_cifar_network_has_its_35_7_million_parameters():
    with torch.device("meta"):
        network = UNet(3, 128, (1, 2, 2, 2), 2, [1], scale_shift=False)
    assert sum(p.numel() for p in network.parameters()) == 35_746_307


NAMES = [  # theirs -> ours
    (r"conv_in\.", "enter."),
    (r"time_embedding\.linear_1\.", "clock.mlp.0."),
    (r"time_embedding\.linear_2\.", "clock.mlp.2."),
    (r"(down|up)_blocks\.(\d+)\.resnets\.(\d+)\.", r"\1.\2.\3.block."),
    (r"(down|up)_blocks\.(\d+)\.attentions\.(\d+)\.", r"\1.\2.\3.attend."),
    (r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.", r"shrink.\1."),
    (r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.", r"grow.\1."),
    (r"mid_block\.resnets\.(\d)\.", r"middle.\1.block."),
    (r"mid_block\.attentions\.0\.", "middle.0.attend."),
    (r"conv_norm_out\.", "leave.0."),
    (r"conv_out\.", "leave.2."),
    (r"time_emb_proj\.", "tell."),
    (r"conv_shortcut\.", "skip."),
    (r"group_norm\.", "norm."),
    (r"to_out\.0\.", "out."),
]


def renamed(theirs: dict) -> dict:
    ours, joined = {}, {}
    for name, value in theirs.items():
        for pattern, put in NAMES:
            name = re.sub(pattern, put, name)
        if part := re.search(r"to_([qkv])\.", name):
            joined.setdefault(name.replace(part.group(), "qkv."), {})[part.group(1)] = value
        else:
            ours[name] = value
    return ours | {name: torch.cat([parts[k] for k in "qkv"]) for name, parts in joined.items()}


@pytest.mark.parametrize(("head", "blocks"), [(8, 1), (64, 1)])
@pytest.mark.parametrize("time_scale", [False, True])
def test_the_whole_network_is_diffusers_from_the_same_weights(time_scale, head, blocks):
    """DDPM's network; their defaults but for the order of sine and cosine, the first frequency, padding and epsilon."""
    width = 128
    peer = UNet2DModel(
        sample_size=32,
        block_out_channels=(width, 2 * width, 2 * width, 2 * width),
        layers_per_block=blocks,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=head,
        resnet_time_scale_shift="scale_shift" if time_scale else "default",
        flip_sin_to_cos=True,
        freq_shift=0,
        downsample_padding=1,
        norm_eps=1e-5,
        attn_norm_num_groups=32,
    )
    stirred(peer)
    ours = UNet(3, width, (1, 2, 2, 2), blocks, [1], head=head, scale_shift=time_scale).eval()
    ours.load_state_dict(renamed(peer.state_dict()))
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 871.0])
    with torch.no_grad():
        expected, found = peer(x, t).sample, ours(x, t / 1000)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("size", [(28, 28), (27, 31), (1, 5), (33,), (7, 6, 9)])
def test_any_size_on_one_to_three_axes(size, patch):
    network = stirred(small(axes=len(size), patch=patch))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        answer = network(x, torch.rand(2))
    assert answer.shape == x.shape and torch.isfinite(answer).all() and answer.std() > 0


@pytest.mark.parametrize(
    "settings",
    [{"width": 7}, {"width": 33, "levels": (1, 1)}, {"width": 40, "levels": (1, 5)}, {"width": 20, "head": 3}, {"blocks": 3}],
    ids=str,
)
def test_any_width(settings):
    network = small(**{"levels": (1, 2), "attention": [0, 1], **settings})
    assert network(torch.randn(1, 3, 6, 6), torch.rand(1)).shape == (1, 3, 6, 6)


def test_a_fresh_network_answers_zero():
    assert torch.equal(small()(torch.randn(2, 3, 9, 9), torch.rand(2)), torch.zeros(2, 3, 9, 9))


def test_every_parameter_learns_once_the_zeros_have_moved():
    network = small(scale_shift=True)
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(3):  # zero layers open one after the other
        optimizer.zero_grad()
        (network(torch.randn(4, 3, 8, 8), torch.rand(4), Context(vector=torch.randn(4, network.dim))) - 1).square().mean().backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not still


def test_the_clock_and_each_condition_are_heard():
    network = stirred(small(concat=2))
    x, clock = torch.randn(2, 3, 8, 8), torch.tensor([0.2, 0.7])
    beside = Context(concat=torch.zeros(2, 2, 8, 8))
    with torch.no_grad():
        plain = network(x, clock, beside)
        assert not torch.allclose(network(x, clock + 0.1, beside), plain, atol=1e-4)
        assert not torch.allclose(network(x, clock, beside.merged(Context(vector=torch.ones(2, network.dim)))), plain, atol=1e-4)
        assert not torch.allclose(network(x, clock, Context(concat=torch.ones(2, 2, 8, 8))), plain, atol=1e-4)


def test_samples_of_a_batch_do_not_see_each_other():
    network = stirred(small())
    x, clock, order = torch.randn(3, 3, 9, 8), torch.rand(3), torch.tensor([2, 0, 1])
    with torch.no_grad():
        assert torch.allclose(network(x, clock)[order], network(x[order], clock[order]), atol=1e-5)
        assert torch.allclose(network(x, clock)[1:2], network(x[1:2], clock[1:2]), atol=1e-5)


def test_dropout_acts_in_training_alone():
    network = stirred(small(dropout=0.5))
    x, clock = torch.randn(1, 3, 8, 8), torch.rand(1)
    assert torch.equal(network(x, clock), network(x, clock))
    network.train()
    assert not torch.equal(network(x, clock), network(x, clock))


@pytest.mark.parametrize(
    "wrong",
    [{"attention": [3]}, {"attention": [-1]}, {"width": 1}, {"levels": (1, 0)}, {"levels": ()}, {"blocks": 0}, {"patch": 0}],
    ids=str,
)
def test_what_cannot_be_a_unet(wrong):
    with pytest.raises(Usage):
        small(**wrong)
