"""What an evaluation leaves beside a run, with what it was measured of."""

import json
from collections.abc import Mapping
from typing import Any

from ..files import parse_json
from ..model import Sampling
from ..runs import Run
from .adherence import Adherence
from .card import Card
from .extension import Extension
from .features import QUICK
from .latents import LatentPage
from .likelihood import Likelihood
from .pairs import Pairs
from .protocol import EvaluateSettings
from .speed import Comparison
from .sweep import Sweep

FILES: dict[type, str] = {
    Card: "evaluation.json", Comparison: "comparison.json", Sweep: "guidance.json",
    Pairs: "pairs.json", Adherence: "adherence.json", Likelihood: "likelihood.json",
    LatentPage: "latents.json", Extension: "extension.json",
}  # fmt: skip


def last_step(run: Run) -> int:
    """How far a run has been trained."""
    return max((entry.get("step", 0) for entry in run.entries()), default=0)


def measured_of(run: Run, sampling: Sampling, features: Any, weights: str = "last", against: Any = None) -> dict[str, Any]:
    """What is written beside a result: the step, which weights, the seed, the feature network, and how the samples were drawn.

    against  where the weaker model that guidance leads away from came from, which a Sampling cannot write down
    """
    how = {"step": last_step(run), "weights": weights, "seed": sampling.seed, "network": str(features)}
    return how | {"sampling": sampling.record() | ({} if against is None else {"against": str(against)})}


def result_file(kind: type, features: Any) -> str:
    """The file of a kind of result; quick ones have their own, and never take the place of others."""
    return ("quick_" if str(features) == QUICK else "") + FILES[kind]


def write_result(run: Run, found: Any, how: Mapping[str, Any]) -> str:
    """Writes a result with what it was measured of into the run folder; the file's name."""
    name = result_file(type(found), how["network"])
    run.write_json(name, found.json() | dict(how))
    return name


def is_evaluated(run: Run, settings: EvaluateSettings, sampling: Sampling) -> bool:
    """Whether the run holds the evaluation of its last weights by its recipe's settings."""
    try:
        found = parse_json((run.path / result_file(Card, settings.features)).read_text())
    except (FileNotFoundError, ValueError):  # not there, or cut short: it is made anew
        return False
    wanted = measured_of(run, sampling, settings.features) | {"n": settings.n}
    return all(found.get(key) == value for key, value in json.loads(json.dumps(wanted)).items())
