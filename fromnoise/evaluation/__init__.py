"""Measuring samples: distances to real data in named features, each beside what real data itself reaches."""

from .card import Card, Row
from .features.clip import ClipScore
from .features.cnn import CNN
from .features.features import FeatureNet, observe
from .features.perceptual import Perceptual, load_perceptual
from .features.prepare import load_features
from .features.resnet import ResNet
from .metrics.metrics import Statistics, frechet, kid, precision_recall
from .metrics.obedience import Obedience, obedience
from .metrics.pairs import Pairs, score_pairs
from .metrics.points import distance_to_data, energy_distance, score_points, sliced_wasserstein
from .protocol import score
from .run import fits, score_run
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
