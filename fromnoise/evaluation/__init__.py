"""Measuring samples: distances to real data in named features, each beside what real data itself reaches."""

from .adherence import Adherence, control_adherence
from .card import Card, Row
from .cards import CARDS, card_of
from .clips import measuring_clips
from .examples import check_data, example_conditions, read_conditions, spread
from .extension import Extension, score_extension
from .features import (
    CNN,
    FEATURES,
    ClipScore,
    FeatureNet,
    Perceptual,
    ResNet,
    find_features,
    load_classifier,
    load_features,
    load_perceptual,
    observe,
    perceptual,
)
from .latents import LatentPage, latent_page, score_reconstructions
from .likelihood import Likelihood, likelihood
from .metrics.distances import distance_to_data, energy_distance, frechet, kid, precision_recall, sliced_wasserstein
from .metrics.pictures import psnr, returned
from .pairs import Pairs, score_pairs
from .prediction import gone_on
from .protocol import EvaluateSettings, Protocol, evaluate
from .results import is_evaluated, last_step, measured_of, result_file, write_result
from .score import score_pictures, score_points
from .shapes import score_shapes
from .speed import Comparison, Timed, count_calls, parse_samplers, time_sampling
from .sweep import Sweep, parse_scales, parse_steps
from .text import score_text
