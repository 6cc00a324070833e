"""Attention."""

import torch.nn.functional as F
from torch import Tensor, nn

from .embed import zero
from .norm import GroupNorm


class SelfAttention(nn.Module):
    """Multi-head attention among all positions of a feature map, added to it (Ho et al. 2020); (B, C, *S) -> the same.

    Scaled dot-product attention through PyTorch's fused kernels. The last layer is zero at first, so a fresh block is the identity.
    Heads are `head` channels wide, or as little wider as divides the channels.
    """

    def __init__(self, channels: int, head: int = 64):
        super().__init__()
        self.heads = next(n for n in range(max(1, channels // head), 0, -1) if channels % n == 0)
        self.norm = GroupNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, L, C)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(tokens).chunk(3, -1)
        )  # (B, heads, L, C / heads)
        answer = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(answer).transpose(1, 2).reshape(x.shape)
