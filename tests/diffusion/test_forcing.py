"""Noise levels of frames: shapes, the loss, and the frames that follow from known ones where the answer is a formula."""

import pytest
import torch
from torch import nn

from fromnoise.conditions.hints import frames, hint_of
from fromnoise.conditions.hints.frames import unknown
from fromnoise.diffusion import PREDICT, WEIGHTS, Cosine, Denoiser, Flow, Level, forced, guided, loss, times_of_frames
from fromnoise.draws import Draws
from fromnoise.errors import Usage
from fromnoise.samplers import ddim, walk

DOUBLE = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(0)}
CLIPS = torch.randn(3, 2, 5, 4, 4, **DOUBLE)


def test_a_level_of_each_frame_blends_each_by_its_own():
    x0, eps = CLIPS, torch.randn(CLIPS.shape, **DOUBLE)
    level = Cosine()(torch.rand(3, 5, **DOUBLE))
    x = level.mix(x0, eps)
    for b in range(3):
        for t in range(5):
            assert torch.allclose(x[b, :, t], level.alpha[b, t] * x0[b, :, t] + level.sigma[b, t] * eps[b, :, t])
    assert torch.allclose(level.eps(x, x0), eps)


class Times(nn.Module):
    """A network that sees each frame's time."""

    def forward(self, x, t, context=None):
        t = t[:, None].expand(len(x), x.shape[2]) if t.ndim == 1 else t
        return torch.sin(x + t[:, None, :, None, None])


@pytest.mark.parametrize("weight", sorted(WEIGHTS))
@pytest.mark.parametrize("predict", sorted(PREDICT))
def test_the_loss_of_frames_is_the_mean_of_each_alone_and_of_one_level_is_that_of_the_clip(predict, weight):
    denoiser, eps = Denoiser(Times(), predict), torch.randn(CLIPS.shape, **DOUBLE)
    t = torch.rand(3, 5, **DOUBLE) * 0.8 + 0.1
    whole = loss(denoiser, CLIPS, Cosine()(t), eps=eps, weight=weight)
    alone = [loss(denoiser, CLIPS[:, :, i : i + 1], Cosine()(t[:, i]), eps=eps[:, :, i : i + 1], weight=weight) for i in range(5)]
    assert torch.allclose(whole, torch.stack(alone).mean(0))
    one = t[:, :1].expand(3, 5)
    assert torch.allclose(loss(denoiser, CLIPS, Cosine()(one), eps=eps, weight=weight), loss(denoiser, CLIPS, Cosine()(t[:, 0]), eps=eps, weight=weight))


def test_guidance_in_one_pass_sees_the_level_of_each_frame():
    level = Flow()(torch.rand(3, 5, **DOUBLE) * 0.8 + 0.1)

    def consistent(scale):
        def denoise(x, level):
            x0 = torch.tanh(scale * x)
            return x0, level.eps(x, x0)

        return denoise

    x0, eps = guided(consistent(1.0), consistent(2.0), 3.0)(CLIPS, level)
    assert torch.allclose(level.mix(x0, eps), CLIPS)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_clips_has_times_of_its_own(share):
    t = torch.linspace(0, 1, 4000, dtype=torch.float64)
    times = times_of_frames(t, 6, share, Draws.fixed(4000))
    own = (times != t[:, None]).any(1)
    assert times.shape == (4000, 6) and float(own.double().mean()) == pytest.approx(share, abs=0.03)
    if share:
        among = times[own]
        assert 0 <= float(among.min()) and float(among.max()) < 1 and float(among.mean()) == pytest.approx(0.5, abs=0.02)
        assert abs(float(torch.corrcoef(among.T)[0, 1])) < 0.05  # frames are independent
    part = times_of_frames(t[1000:1500], 6, share, Draws.fixed(4000).part(slice(1000, 1500)))
    assert torch.equal(part, times[1000:1500])  # however a batch is cut


def walking(frames: int, memory: float) -> torch.Tensor:
    """The covariance of a stationary process that forgets: memory^|i - j|."""
    i = torch.arange(frames, dtype=torch.float64)
    return memory ** (i[:, None] - i).abs()


def test_known_frames_lead_to_the_distribution_that_follows_from_them():
    """A Gaussian process over frames, whose true denoiser at a level of each frame is linear, conditioned on its first three: mean and covariance by formula."""
    length, given, n = 6, 3, 4000
    covariance = walking(length, 0.8)

    def denoise(x, level):
        alpha, sigma = (part.expand(len(x), length) if part.ndim else part.expand(1, length) for part in (level.alpha, level.sigma))
        a, s = alpha[0], sigma[0]  # E[x0 | x] = C A (A C A + S²)⁻¹ x for diagonal A, S
        gain = covariance @ torch.diag(a) @ torch.linalg.inv(torch.diag(a) @ covariance @ torch.diag(a) + torch.diag(s.square()))
        x0 = (x[:, 0] @ gain.T)[:, None]
        return x0, level.eps(x, x0)

    known = torch.zeros(1, 1, length, dtype=torch.float64)
    known[0, 0, :given] = torch.tensor([0.5, -1.0, 1.5])
    hole = torch.arange(length)[None] >= given
    level = Flow()(torch.tensor(1e-3, dtype=torch.float64))
    x = torch.randn(n, 1, length, **DOUBLE)
    drawn = walk(ddim, forced(denoise, known, torch.zeros_like(known), hole, level), x, Flow(high=0.999).levels(100))
    c, past = covariance[given:, :given], covariance[:given, :given]
    mean = c @ torch.linalg.solve(past, known[0, 0, :given])
    spread = covariance[given:, given:] - c @ torch.linalg.solve(past, c.T)
    assert torch.equal(drawn[:, 0, :given], known[0, :, :given].expand(n, -1))
    assert torch.allclose(drawn[:, 0, given:].mean(0), mean, atol=0.05)
    assert torch.allclose(torch.cov(drawn[:, 0, given:].T), spread, atol=0.06)


def test_the_hint_of_frames_keeps_whole_frames_and_says_which():
    x = torch.rand(200, 3, 8, 4, 4) + 0.5
    pixels, counts = frames.known(frames(x, Draws.fixed(200)))
    which = counts[:, 0, :, 0, 0]
    assert torch.equal(pixels, x * counts) and torch.equal(counts, which[:, None, :, None, None].expand(200, 1, 8, 4, 4))
    known = which.sum(1)
    assert set(known.tolist()) == {1, 2, 3, 4}  # of 8, at most half
    at_the_beginning = (which.cumprod(1).sum(1) == known).float().mean()
    assert 0.45 < at_the_beginning < 0.75  # half, and the few others that chance puts there
    assert torch.equal(unknown(200, 8, Draws.fixed(200)), which == 0)
    first = hint_of("frames", {"first": 3})(x, None)
    assert torch.equal(first[:, -1, :, 0, 0], (torch.arange(8) < 3).float().expand(200, 8))
    with pytest.raises(Usage, match="first is 0 to 7 of 8 frames"):
        frames(x, None, first=8)


def test_a_plain_number_or_a_batch_of_levels_is_as_before():
    level = Level(torch.tensor(0.6), torch.tensor(0.8))
    assert [part.shape for part in level.like(CLIPS)] == [(), ()]
    level = Level(torch.full((3,), 0.6), torch.full((3,), 0.8))
    assert [part.shape for part in level.like(CLIPS)] == [(3, 1, 1, 1, 1)] * 2
