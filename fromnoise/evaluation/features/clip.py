"""How well pictures fit their captions, as a CLIP model sees it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...conditions.text.pretrained import loaded
from ...device import best
from ...errors import Problem
from .network import as_saved

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's, where a folder names no others
AT_ONCE = 64


class ClipScore:
    """100 · max(cos(picture, caption), 0) in the space of a CLIP model (Hessel et al. 2021, eq. 1 with w = 100, as text-to-image papers report it).

    name  the model by name or folder, as transformers knows it. Raises Problem where it is not there, or sees no pictures.
    """

    def __init__(self, name: str, device: str | torch.device | None = None):
        source = {"what": "CLIP model", "instead": "leave --clip-model out"}
        config = loaded("AutoConfig", name, **source)
        if not hasattr(config, "vision_config") or not hasattr(config, "text_config"):
            raise Problem(f"{name} is a {config.model_type}, which does not see both pictures and words; give a CLIP model's name or folder")
        from transformers.image_processing_base import ImageProcessingMixin

        self.name = name
        self.tokenizer = loaded("AutoTokenizer", name, **source)
        self.network = loaded("AutoModel", name, use_safetensors=True, **source).float().eval().requires_grad_(False).to(best(device))
        self.size, self.length = config.vision_config.image_size, config.text_config.max_position_embeddings
        try:  # what the model's folder says of how its pictures are made ready
            seen = ImageProcessingMixin.get_image_processor_dict(name)[0]
        except OSError:
            seen = {}
        self.mean, self.std = (torch.tensor(seen.get(key, own))[:, None, None] for key, own in (("image_mean", MEAN), ("image_std", STD)))

    @torch.no_grad()
    def __call__(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Images (n, 1, 3 or 4, H, W) in [-1, 1] and n captions -> (n,)."""
        scores = []
        for first in range(0, len(images), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            words = self.tokenizer(list(captions[part]), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
            inputs = {key: words[key] for key in ("input_ids", "attention_mask")} | {"pixel_values": self.prepared(images[part])}
            seen = self.network(**{key: value.to(self.network.device) for key, value in inputs.items()})
            scores.append(100 * F.cosine_similarity(seen.image_embeds, seen.text_embeds).clamp(min=0).cpu())
        return torch.cat(scores)

    def prepared(self, images: Tensor) -> Tensor:
        """As the model wants them: the shorter side scaled to its size, the middle cut out, its mean taken off; (n, 3, size, size)."""
        x = (as_saved(images.cpu()[:, :3]) + 1) / 2
        scale = self.size / min(x.shape[2:])
        x = F.interpolate(x, [max(self.size, round(side * scale)) for side in x.shape[2:]], mode="bicubic", antialias=True).clamp(0, 1)
        top, left = ((side - self.size) // 2 for side in x.shape[2:])
        return (x[..., top : top + self.size, left : left + self.size].expand(-1, 3, -1, -1) - self.mean) / self.std
