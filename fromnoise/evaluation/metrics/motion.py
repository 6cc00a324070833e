"""How things move in clips: centres of brightness, the straight path with bounces that is nearest to them, flicker, and how many things there are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FAINT, BRIGHT = 0.05, 0.25  # of full brightness: what counts as black, and what as a thing
SPEEDS, TURNS, BEST, STEPS = 32, 5, 6, 20  # tried speeds and places of a wall, how many of these are refined, and in how many steps
FAR = 1e4  # pixels: where a wall is that is never met
SLACK = 1.0  # pixels that a wall may be off where a box was read to a pixel

Bounds = tuple[Tensor, Tensor] | None  # (low, high), (n,) each, of the walls along an axis; None: anywhere


def light(x: Tensor) -> Tensor:
    """The brightness (N, T, H, W) of clips (N, C, T, H, W) in [-1, 1], the mean of the channels, from 0 to 1, float64 on the CPU; what is FAINT is black."""
    bright = x.detach().cpu().double().clamp(-1, 1).add(1).div(2).mean(1)
    return bright * (bright >= FAINT)


def centres(x: Tensor) -> Tensor:
    """The centre of brightness (N, T, 2), as (x, y) in pixels, (0, 0) in the middle of the first, of each frame of clips (N, C, T, H, W); of a
    black one the middle."""
    bright = light(x)
    height, width = bright.shape[-2:]
    total = bright.sum((2, 3)).clamp(min=1e-9)
    across, down = ((bright.sum(axis) * torch.arange(side, dtype=torch.float64)).sum(-1) / total for axis, side in ((2, width), (3, height)))
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    return torch.where((bright.sum((2, 3)) > 0)[..., None], torch.stack([across, down], -1), middle)


def flicker(x: Tensor) -> Tensor:
    """How far the brightness of clips (N, C, T, H, W) goes up and down from frame to frame, (N,): the mean |b(t-1) - 2 b(t) + b(t+1)| / 4 over the mean of b, a
    frame's mean brightness: 0.05 where it alternates by 5 %, 0 where it stays, rises or falls evenly, or there are fewer than three frames."""
    b = x.detach().cpu().double().clamp(-1, 1).add(1).div(2).mean((1, 3, 4))
    return b.diff(n=2).abs().sum(1) / (4 * max(1, b.shape[1] - 2)) / b.mean(1).clamp(min=1e-9)


def things(x: Tensor) -> Tensor:
    """How many things are in each frame of clips (N, C, T, H, W), (N, T): regions of BRIGHT pixels; two of which no more than two dark ones lie between are one."""
    mask = F.max_pool2d((light(x) >= BRIGHT).float(), 3, 1, 1)
    names = torch.arange(1, mask[0, 0].numel() + 1, dtype=mask.dtype).reshape(mask.shape[2:])
    found = mask * names
    while not torch.equal(spread := F.max_pool2d(found, 3, 1, 1) * mask, found):  # each region takes the largest name in it
        found = spread
    return ((found == names) & (mask > 0)).sum((2, 3))


@dataclass(frozen=True)
class Law:
    """What is known of how things move, of N clips: the least and greatest speed, pixels a frame, and where their centres turn back, low and high (N, 2)."""

    least: float
    most: float
    low: Tensor
    high: Tensor


def rooms(x: Tensor, most: float) -> tuple[Tensor, Tensor]:
    """Where the centre of what is seen in clips (N, C, T, H, W) turns back, (low, high) (N, 2), if the box around it turns at the border.

    The box is the median over the frames; of one larger than `most` pixels, as haze makes it, that much in the same proportion.
    """
    bright, at = light(x), centres(x)
    low, high = [], []
    for axis, (other, side) in enumerate(((2, x.shape[-1]), (3, x.shape[-2]))):
        lit, here = bright.amax(other) > 0, torch.arange(side, dtype=torch.float64)
        before = (at[..., axis] - torch.where(lit, here, side).amin(-1)).clamp(min=0).median(1).values
        after = (torch.where(lit, here, -1).amax(-1) - at[..., axis]).clamp(min=0).median(1).values
        share = (most / (before + after).clamp(min=1e-9)).clamp(max=1)
        low.append(before * share)
        high.append(side - 1 - after * share)
    return torch.stack(low, 1), torch.stack(high, 1)


@dataclass(frozen=True)
class Path:
    """The straight paths with bounces that are nearest to centres (N, T, 2).

    places  (N, T, 2);  velocity  (N, 2), pixels a frame at first;  low, high  (N, 2), where they turn back, as far as they do
    """

    places: Tensor
    velocity: Tensor
    low: Tensor
    high: Tensor

    def errors(self, centres: Tensor) -> Tensor:
        """How far the centres (N, T, 2) are from it in each frame, (N, T)."""
        return (centres - self.places).norm(dim=-1)


def nearest_path(centres: Tensor, law: Law | None = None) -> Path:
    """The path of least squares: along each axis a constant speed between two walls, off which it bounces elastically; four numbers an axis.

    Walls are anywhere, or where the law has them, SLACK either way, as a box is read to a pixel. Where the nearest path is slower or faster than the law has it, it
    is the nearest in the same direction at the speed that is nearest to its own, so that a clip in which nothing moves is far from all paths.
    """
    y = centres.double().transpose(1, 2).flatten(0, 1)  # (2 N, T), each axis for itself
    bounds = (law.low.flatten(), law.high.flatten()) if law else None
    best = _refined(y, _tried(y, _speeds(y), bounds), bounds)
    places, slopes = _places(best, y.shape[1])
    velocity = (best[:, 1] * slopes[:, 0, 0]).unflatten(0, (-1, 2))  # of a start beyond a wall, which is seen mirrored
    speed = velocity.norm(dim=1)
    if law and (bad := (speed < 0.99 * law.least) | (speed > 1.01 * law.most)).any():
        way = torch.where(speed[:, None] > 0, velocity / speed[:, None].clamp(min=1e-12), torch.tensor([1.0, 0.0], dtype=y.dtype))
        velocity = torch.where(bad[:, None], way * speed[:, None].clamp(law.least, law.most), velocity)
        mine, own = bad.repeat_interleave(2), (law.low[bad].flatten(), law.high[bad].flatten())
        fixed = velocity.flatten()[mine, None] * torch.tensor([-1.0, 1.0], dtype=y.dtype)
        best[mine] = _refined(y[mine], _tried(y[mine], fixed, own), own, free=(1, 0, 1, 1))
        places = _places(best, y.shape[1])[0]
    shape = (len(centres), 2)
    return Path(places.reshape(*shape, -1).transpose(1, 2), velocity, best[:, 2].reshape(shape), best[:, 3].reshape(shape))


def _places(p: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Where a point is in each frame, (..., T), and the derivatives (..., T, 4) by p (..., 4): its start, velocity, and low and high wall."""
    start, velocity, low, high = (p[..., i, None] for i in range(4))
    time = torch.arange(frames, dtype=p.dtype)
    way, room = start + velocity * time, (high - low).clamp(min=1e-6)
    periods = ((way - low) / (2 * room)).floor()
    along = way - low - 2 * room * periods
    back = along > room
    sign = torch.where(back, -1.0, 1.0)
    place = low + torch.where(back, 2 * room - along, along)
    by_wall = torch.where(back, -2 * periods, 2 * periods), torch.where(back, 2 * (periods + 1), -2 * periods)
    return place, torch.stack([sign.expand_as(place), sign * time, *by_wall], -1)


def _speeds(y: Tensor) -> Tensor:
    """The speeds (n, S) that are tried for places y (n, T): both ways, up to a fifth above the fastest step."""
    fastest = 1.2 * y.diff().abs().amax(1) + 1e-3
    return torch.linspace(-1, 1, 2 * SPEEDS + 1, dtype=y.dtype) * fastest[:, None]


def _tried(y: Tensor, speed: Tensor, bounds: Bounds) -> Tensor:
    """The BEST of many paths (n, BEST, 4) for places y (n, T): each of the speeds (n, S); walls about those that are known, or not met, or just beyond y."""
    beyond = torch.linspace(0, 0.5, TURNS, dtype=y.dtype)  # shares of a step
    reach = speed.abs()[:, :, None, None].clamp(min=1e-3)
    if bounds:
        near, reach = torch.linspace(-SLACK, SLACK, TURNS, dtype=y.dtype), torch.ones_like(reach)
        low, high = bounds[0][:, None, None, None], bounds[1][:, None, None, None]
    else:
        near, low, high = torch.cat([beyond, beyond.new_tensor([FAR])]), y.amin(1)[:, None, None, None], y.amax(1)[:, None, None, None]
    low, high = low - near[:, None] * reach, high + near * reach
    start, velocity = y[:, 0, None, None, None], speed[:, :, None, None]
    many = torch.stack(torch.broadcast_tensors(start, velocity, low, high), -1).flatten(1, 3)
    error = torch.cat([(_places(part, y.shape[1])[0] - own[:, None]).square().sum(-1) for part, own in zip(many.split(16), y.split(16), strict=True)])
    chosen = error.topk(BEST, largest=False).indices
    return many.gather(1, chosen[..., None].expand(-1, -1, 4))


def _refined(y: Tensor, p: Tensor, bounds: Bounds, free: Sequence[int] = (1, 1, 1, 1)) -> Tensor:
    """The best path (n, 4) after steps of Levenberg and Marquardt from each of p (n, K, 4), in which the numbers that are `free` change, and walls stay within
    SLACK of the bounds."""
    least, most = torch.full_like(p, -math.inf), torch.full_like(p, math.inf)
    if bounds:
        walls = torch.stack(bounds, -1)[:, None].expand(-1, p.shape[1], -1)
        least[..., 2:], most[..., 2:] = walls - SLACK, walls + SLACK
    damping, (place, slope) = torch.full(p.shape[:-1], 1e-3, dtype=p.dtype), _places(p, y.shape[1])
    error, moves = (y[:, None] - place).square().sum(-1), torch.tensor(free, dtype=p.dtype)
    for _ in range(STEPS):
        slope = slope * moves
        lhs = slope.mT @ slope
        lhs = lhs + damping[..., None, None] * (torch.diag_embed(lhs.diagonal(dim1=-2, dim2=-1)) + 1e-6 * torch.eye(4, dtype=p.dtype))
        step = torch.linalg.solve(lhs, (slope.mT @ (y[:, None] - place)[..., None]))[..., 0]
        trial = (p + step).clamp(least, most)
        tried, tried_slope = _places(trial, y.shape[1])
        less = (y[:, None] - tried).square().sum(-1)
        better = less < error
        p = torch.where(better[..., None], trial, p)
        place, slope = torch.where(better[..., None], tried, place), torch.where(better[..., None, None], tried_slope, slope)
        error, damping = torch.where(better, less, error), torch.where(better, damping / 5, damping * 5).clamp(1e-9, 1e9)
    return p[torch.arange(len(p)), error.argmin(1)]
