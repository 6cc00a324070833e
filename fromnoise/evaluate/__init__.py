"""Measuring samples: distances to real data in named features, each beside what real data itself reaches."""

from .card import Card, Row
from .clip import ClipScore
from .cnn import CNN
from .features import FeatureNet, observe
from .metrics import Statistics, frechet, kid, precision_recall
from .obedience import Obedience, obedience
from .pairs import Pairs, score_pairs
from .perceptual import Perceptual, load_perceptual
from .points import distance_to_data, energy_distance, score_points, sliced_wasserstein
from .prepare import load_features
from .resnet import ResNet
from .run import fits, score_run
from .score import score
from .speed import Comparison, Timed, time_sampling
from .sweep import Sweep

__all__ = [
    "CNN",
    "Card",
    "ClipScore",
    "Comparison",
    "FeatureNet",
    "Obedience",
    "Pairs",
    "Perceptual",
    "ResNet",
    "Row",
    "Statistics",
    "Sweep",
    "Timed",
    "distance_to_data",
    "energy_distance",
    "frechet",
    "kid",
    "fits",
    "load_features",
    "obedience",
    "load_perceptual",
    "observe",
    "precision_recall",
    "score",
    "score_pairs",
    "score_points",
    "score_run",
    "sliced_wasserstein",
    "time_sampling",
]
