"""scikit-learn's handwritten digits, which come with that package: real data without a network."""

import numpy as np

from ...errors import Problem
from ..dataset import Tensors, check_split

TRAIN = 1500


def digits(split: str = "train") -> Tensors:
    """scikit-learn's 1,797 handwritten digits, 8x8 grey, 1,500 to train and 297 to test; no download."""
    check_split(split)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise Problem('digits come with scikit-learn, which is not installed: pip install "fromnoise[demo]"') from error
    images, labels = load_digits(return_X_y=True)  # (1797, 64) in 0..16
    order = np.random.RandomState(0).permutation(len(labels))  # the legacy generator's stream never changes; writers are mixed
    chosen = order[:TRAIN] if split == "train" else order[TRAIN:]
    x = images[chosen].reshape(-1, 1, 8, 8).astype(np.float32) / 8 - 1
    return Tensors("digits", x, labels[chosen], classes=tuple("0123456789"))
