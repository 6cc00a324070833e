"""Networks as published, by name: `network: dit_s2` is `network: {name: dit, width: 384, …}`, and any setting can still be changed."""

from typing import Any

DIT = {"s": (12, 384, 6), "b": (12, 768, 12), "l": (24, 1024, 16), "xl": (28, 1152, 16)}  # Peebles & Xie 2023, table 1: depth, width, heads
# Bao et al. 2023, table 1
UVIT = {"small": (13, 512, 8), "small_deep": (17, 512, 8), "mid": (17, 768, 12), "large": (21, 1024, 16), "huge": (29, 1152, 16)}
DDPM = {"name": "unet", "scale_shift": False, "compat": {"groups": 32, "eps": 1e-6, "pad_late": True, "shift": 1}}
ADM = {"name": "unet", "resample": "residual", "head": 64, "compat": {"groups": 32}}

PRESETS: dict[str, dict[str, Any]] = {
    # Ho et al. 2020, CIFAR-10: 35.7 M
    "ddpm": {**DDPM, "width": 128, "levels": [1, 2, 2, 2], "blocks": 2, "attention": [1], "head": 256, "dropout": 0.1},
    # Dhariwal & Nichol 2021, table 4 and the released models: ImageNet at 64, 128, 256, 512; attention at 32, 16 and 8
    "adm_64": {**ADM, "width": 192, "levels": [1, 2, 3, 4], "blocks": 3, "attention": [1, 2, 3]},
    "adm_128": {**ADM, "width": 256, "levels": [1, 1, 2, 3, 4], "blocks": 2, "attention": [2, 3, 4]},
    "adm_256": {**ADM, "width": 256, "levels": [1, 1, 2, 2, 4, 4], "blocks": 2, "attention": [3, 4, 5]},
    "adm_512": {**ADM, "width": 256, "levels": [0.5, 1, 1, 2, 2, 4, 4], "blocks": 2, "attention": [4, 5, 6]},
    # ours: UNets for one GPU at each size, attention at 16 x 16 and below
    "unet_32": {"name": "unet", "width": 96, "levels": [1, 2, 2], "blocks": 2, "attention": [1]},
    "unet_64": {"name": "unet", "width": 96, "levels": [1, 2, 2, 3], "blocks": 2, "attention": [2, 3]},
    "unet_128": {"name": "unet", "width": 96, "levels": [1, 1, 2, 2, 4], "blocks": 2, "attention": [3, 4]},
    "unet_256": {"name": "unet", "width": 64, "levels": [1, 1, 2, 2, 4, 4], "blocks": 2, "attention": [4, 5]},
    "unet_512": {"name": "unet", "width": 64, "levels": [0.5, 1, 1, 2, 2, 4, 4], "blocks": 2, "attention": [5, 6]},
    "convnext_64": {"name": "convnext_unet", "width": 64, "levels": [1, 2, 4, 8]},  # linear attention, 56.6 M
    **{f"dit_{s}{p}": {"name": "dit", "depth": d, "width": w, "heads": h, "patch": p} for s, (d, w, h) in DIT.items() for p in (2, 4, 8)},
    **{f"uvit_{s}": {"name": "uvit", "depth": d, "width": w, "heads": h, "patch": 2} for s, (d, w, h) in UVIT.items()},
}
