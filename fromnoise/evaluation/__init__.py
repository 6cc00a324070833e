"""Measuring samples: distances to real data in named features, each beside what real data itself reaches."""

from .adherence import Adherence, control_adherence
from .card import Card, Row
from .examples import check_data, example_conditions
from .features import CNN, FEATURES, ClipScore, FeatureNet, Perceptual, ResNet, load_features, load_perceptual, observe
from .likelihood import Likelihood, likelihood
from .metrics.distances import distance_to_data, energy_distance, frechet, kid, precision_recall, sliced_wasserstein
from .metrics.pictures import psnr
from .pairs import Pairs, score_pairs
from .protocol import EvaluateSettings, Protocol, evaluate
from .results import is_evaluated, last_step, measured_of, write_result
from .score import score_pictures, score_points
from .speed import Comparison, Timed, count_calls, parse_samplers, time_sampling
from .sweep import Sweep, parse_scales, parse_steps

__all__ = [
    "CNN", "FEATURES", "Adherence", "Card", "ClipScore", "Comparison", "EvaluateSettings", "FeatureNet", "Likelihood", "Pairs", "Perceptual",
    "Protocol", "ResNet", "Row", "Sweep", "Timed", "check_data", "control_adherence", "count_calls", "distance_to_data",
    "energy_distance", "evaluate", "example_conditions", "frechet", "is_evaluated", "kid", "last_step", "likelihood", "load_features",
    "load_perceptual", "measured_of", "observe", "parse_samplers", "parse_scales", "parse_steps", "precision_recall", "psnr", "score_pairs",
    "score_pictures", "score_points", "sliced_wasserstein", "time_sampling", "write_result",
]  # fmt: skip
