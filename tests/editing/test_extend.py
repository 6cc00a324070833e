"""Clips that go on from known frames, whichever way a model has of being given them."""

import pytest
import torch

from fromnoise.editing import continued, extend
from fromnoise.errors import Usage
from fromnoise.model import Sampling
from fromnoise.networks import Network
from tests.parts import built, stirred

SHAPE = (1, 6, 4, 4)
BARE = {"predict": "velocity", "noise": {"name": "flow"}, "sample": {"name": "ddim", "steps": 3}}
UNET = {**BARE, "network": {"name": "unet", "width": 8, "levels": [1]}}


class EachFrame(Network):
    """A network that reads a time of each frame, and nothing but the frame itself."""

    dim = 1

    def __init__(self, channels: int = 1, axes: int = 3):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(channels))

    def forward(self, x, t, context=None):
        t = t[:, None].expand(len(x), x.shape[2]) if t.ndim == 1 else t
        return self.scale.view(1, -1, 1, 1, 1) * torch.sin(3 * x + t[:, None, :, None, None])


WAYS = {
    "a condition of holes": {**UNET, "conditions": [{"name": "image", "hint": "frames"}]},
    "levels of its own": {**BARE, "network": {"name": "tests.editing.test_extend:EachFrame"}, "train": {"forcing": 0.5}},
    "inpainting": UNET,
}


@pytest.fixture(params=list(WAYS))
def model(request):
    torch.manual_seed(0)
    return stirred(built(WAYS[request.param], SHAPE))


def test_known_frames_stay_and_the_rest_is_a_function_of_the_seed_and_the_samples_number(model):
    known = torch.rand(3, 1, 2, 4, 4) * 2 - 1
    made = continued(model, known, 3, Sampling(sampler="ddim", steps=3, seed=5))
    assert made.shape == (3, *SHAPE) and torch.equal(made[:, :, :2], known) and made.isfinite().all()
    apart = continued(model, known, 3, Sampling(sampler="ddim", steps=3, seed=5, batch=2))
    assert torch.allclose(made, apart, atol=1e-5)
    assert not torch.allclose(made, continued(model, known, 3, Sampling(sampler="ddim", steps=3, seed=6)), atol=1e-3)


def test_windows_make_any_length_and_begin_with_what_is_known(model):
    seen = []
    known = torch.rand(1, 1, 3, 4, 4) * 2 - 1
    made = extend(model, known, 13, n=2, overlap=2, sampling=Sampling(sampler="ddim", steps=2), progress=seen.append)
    assert made.shape == (2, 1, 13, 4, 4) and torch.equal(made[:, :, :3], known.expand(2, 1, 3, 4, 4))
    assert seen == [6, 10, 13]  # 3 of 6 are known, then 2 of 6 each
    steps = (made[:, :, 1:] - made[:, :, :-1]).abs().amax((0, 1, 3, 4))
    assert bool((steps > 1e-4).all())  # no window repeats another's frames
    assert not torch.equal(made[:, :, 6:8], made[:, :, 10:12])


def test_without_known_frames_it_begins_as_an_ordinary_sample(model):
    how = Sampling(sampler="ddim", steps=2, seed=3)
    assert torch.equal(extend(model, None, 9, n=2, sampling=how)[:, :, :6], model.sample(2, how))
    assert extend(model, None, 4, n=2, sampling=how).shape == (2, 1, 4, 4, 4)


def test_levels_of_its_own_change_what_the_network_hears_of_known_frames():
    torch.manual_seed(0)
    model, heard = built(WAYS["levels of its own"], SHAPE), []
    model.denoiser.network.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[1]))
    continued(model, torch.zeros(1, 1, 2, 4, 4), 1, Sampling(sampler="ddim", steps=3))
    assert [t.shape for t in heard] == [(1, 6)] * 3
    for t in heard:
        assert torch.equal(t[:, :2], heard[0][:, :2]) and float(t[0, 0]) < 0.05 and bool((t[:, 2:] == t[:, 2:3]).all())
    assert float(heard[0][0, 2]) > float(heard[2][0, 2]) > 0.05


def test_a_signal_goes_on_as_a_clip_does():
    torch.manual_seed(0)
    model = stirred(built({**UNET, "conditions": [{"name": "image", "hint": "frames"}]}, (2, 16)))
    known = torch.rand(1, 2, 5) * 2 - 1
    made = extend(model, known, 40, sampling=Sampling(sampler="ddim", steps=2))
    assert made.shape == (1, 2, 40) and torch.equal(made[:, :, :5], known)


def test_what_is_no_beginning_is_refused(model):
    for overlap in (0, 6):
        with pytest.raises(Usage, match="1 to 5 of this model's 6"):
            extend(model, None, 9, overlap=overlap)
    with pytest.raises(Usage, match="not \\(1, 1, 2, 5, 4\\)"):
        continued(model, torch.zeros(1, 1, 2, 5, 4))
    with pytest.raises(Usage, match="which have no frames"):
        extend(built({**BARE, "network": {"name": "mlp", "width": 8}}, (2,)), None, 9)
