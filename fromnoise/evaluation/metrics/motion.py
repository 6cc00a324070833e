"""How things move in clips: centres of brightness, the straight path with bounces that is nearest to them, flicker, and how many things there are."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FAINT, BRIGHT = 0.05, 0.25  # of full brightness: what counts as black, and what as a thing
SPEEDS, TURNS, BEST, STEPS = 32, 5, 6, 20  # tried speeds and places of a wall, how many of these are refined, and in how many steps
FAR = 1e4  # pixels: where a wall is that is never met


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


def nearest_path(centres: Tensor) -> Path:
    """The path of least squares: along each axis a constant speed between two walls, wherever these are, off which it bounces elastically; four numbers an axis."""
    y = centres.double().transpose(1, 2).flatten(0, 1)  # (2 N, T), each axis for itself
    best = _refined(y, _tried(y))
    shape = (len(centres), 2)
    places, slopes = _places(best, y.shape[1])
    velocity = best[:, 1] * slopes[:, 0, 0]  # of a start beyond a wall, which is seen mirrored
    return Path(places.reshape(*shape, -1).transpose(1, 2), velocity.reshape(shape), best[:, 2].reshape(shape), best[:, 3].reshape(shape))


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


def _tried(y: Tensor) -> Tensor:
    """The BEST of many paths (n, BEST, 4) for places y (n, T): speeds up to a fifth above the fastest step, both ways, walls not met or just beyond y."""
    fastest = 1.2 * y.diff().abs().amax(1) + 1e-3
    speed = torch.linspace(-1, 1, 2 * SPEEDS + 1, dtype=y.dtype) * fastest[:, None]
    beyond = torch.cat([torch.linspace(0, 0.5, TURNS, dtype=y.dtype), torch.tensor([FAR], dtype=y.dtype)])  # shares of a step
    reach = speed.abs()[:, :, None, None].clamp(min=1e-3)
    low = y.amin(1)[:, None, None, None] - beyond[:, None] * reach
    high = y.amax(1)[:, None, None, None] + beyond * reach
    start, velocity = y[:, 0, None, None, None], speed[:, :, None, None]
    many = torch.stack(torch.broadcast_tensors(start, velocity, low, high), -1).flatten(1, 3)
    error = torch.cat([(_places(part, y.shape[1])[0] - own[:, None]).square().sum(-1) for part, own in zip(many.split(16), y.split(16), strict=True)])
    chosen = error.topk(BEST, largest=False).indices
    return many.gather(1, chosen[..., None].expand(-1, -1, 4))


def _refined(y: Tensor, p: Tensor) -> Tensor:
    """The best path (n, 4) after steps of Levenberg and Marquardt from each of p (n, K, 4)."""
    damping, (place, slope) = torch.full(p.shape[:-1], 1e-3, dtype=p.dtype), _places(p, y.shape[1])
    error = (y[:, None] - place).square().sum(-1)
    for _ in range(STEPS):
        lhs = slope.mT @ slope
        lhs = lhs + damping[..., None, None] * (torch.diag_embed(lhs.diagonal(dim1=-2, dim2=-1)) + 1e-6 * torch.eye(4, dtype=p.dtype))
        step = torch.linalg.solve(lhs, (slope.mT @ (y[:, None] - place)[..., None]))[..., 0]
        tried, tried_slope = _places(p + step, y.shape[1])
        less = (y[:, None] - tried).square().sum(-1)
        better = less < error
        p = torch.where(better[..., None], p + step, p)
        place, slope = torch.where(better[..., None], tried, place), torch.where(better[..., None, None], tried_slope, slope)
        error, damping = torch.where(better, less, error), torch.where(better, damping / 5, damping * 5).clamp(1e-9, 1e9)
    return p[torch.arange(len(p)), error.argmin(1)]
