"""Shapes in space as small pictures: seen from above in front, lit from the left, without perspective."""

import math

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

VIEW = 96  # pixels: the edge of a picture
HALF = 1.4  # units on either side of the middle, where shapes lie in [-1, 1]
TOWARDS = F.normalize(torch.tensor([0.55, -1.0, 0.55]), dim=0)  # the viewer; the third axis is up, and what has a front shows it to -y
RIGHT = F.normalize(torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), TOWARDS), dim=0)
UPWARDS = torch.linalg.cross(TOWARDS, RIGHT)
LIGHT = F.normalize(TOWARDS - 0.9 * RIGHT + 0.8 * UPWARDS, dim=0)
COLOUR, GROUND = torch.tensor([92.0, 160.0, 220.0]), torch.tensor([246.0, 248.0, 250.0])
FINE = 3  # clouds are drawn so much larger and reduced


def volumes(x: Tensor, scale: int = 0) -> list[Image.Image]:
    """A picture of each volume (N, 1, D, H, W): the surface of where it is above 0, found along each pixel's ray."""
    edge, largest = VIEW * (scale or 1), max(x.shape[2:])
    across = ((torch.arange(edge) + 0.5) / edge * 2 - 1) * HALF
    reach = math.sqrt(3)
    depth = torch.linspace(reach, -reach, math.ceil(1.2 * largest * reach))  # from the viewer on, a little less than a voxel a step
    plane = -across[:, None, None] * UPWARDS + across[:, None] * RIGHT  # (edge, edge, 3)
    rays = plane + depth[:, None, None, None] * TOWARDS  # (K, edge, edge, 3)
    sides = torch.tensor(x.shape[2:]) / largest

    def at(volume: Tensor, places: Tensor) -> Tensor:
        """The volume at places (K, edge, edge, 3), -1 outside."""
        return F.grid_sample(volume + 1, (places / sides).flip(-1)[None], align_corners=False)[0, 0] - 1

    def one(volume: Tensor) -> Image.Image:
        values = at(volume, rays)
        hit, first = (values > 0).any(0), (values > 0).float().argmax(0).clamp(min=1)
        before, after = (values.gather(0, (first - step)[None])[0] for step in (1, 0))
        share = (before / (before - after).clamp(max=-1e-6)).clamp(0, 1)
        found = plane + (depth[first - 1] + share * (depth[1] - depth[0]))[..., None] * TOWARDS
        smooth, step = F.avg_pool3d(F.pad(volume, (1,) * 6, value=-1.0), 3, 1), 2.5 / largest
        slope = [at(smooth, found[None] - step * axis) - at(smooth, found[None] + step * axis) for axis in torch.eye(3)]
        normal = F.normalize(torch.stack(slope, -1)[0], dim=-1)
        light = (0.45 + 0.6 * (normal @ LIGHT).clamp(min=0)) * (1 + 0.12 * (found @ TOWARDS))
        return _picture(torch.where(hit[..., None], light[..., None] * COLOUR, GROUND))

    return [one(torch.nan_to_num(volume.detach().float().cpu(), nan=-1.0).clamp(-1, 1)[None]) for volume in x]


def clouds(x: Tensor, scale: int = 0) -> list[Image.Image]:
    """A picture of each cloud of points (N, 3, L): the nearer, the darker."""
    edge = VIEW * (scale or 1) * FINE
    radius = edge / 110 * min(2, (4000 / x.shape[-1]) ** 0.5)
    made = []
    for cloud in torch.nan_to_num(x.detach().float().cpu(), nan=1e6).mT:
        depth, right, up = (cloud @ axis for axis in (TOWARDS, RIGHT, UPWARDS))
        order = depth.argsort()
        shade = ((depth + 1.2) / 2.4).clamp(0, 1)[order, None]
        colours = (GROUND - (GROUND - COLOUR * 0.6) * (0.35 + 0.65 * shade)).round().int().tolist()
        places = torch.stack([(1 + right / HALF) / 2, (1 - up / HALF) / 2], 1)[order] * edge
        panel = Image.new("RGB", (edge, edge), tuple(GROUND.int().tolist()))
        draw = ImageDraw.Draw(panel)
        for (px, py), colour in zip(places.tolist(), colours, strict=True):
            if -radius < px < edge + radius and -radius < py < edge + radius:
                draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=tuple(colour))
        made.append(panel.reduce(FINE))
    return made


def _picture(colours: Tensor) -> Image.Image:
    return Image.fromarray(colours.clamp(0, 255).round().to(torch.uint8).numpy())
