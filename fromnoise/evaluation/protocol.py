"""The protocol: what is measured of a trained model's samples, and the one function that draws and measures them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from ..config import Within
from ..data import Dataset
from ..data.dataset import Seen, usual_medium
from ..errors import Usage
from ..model import Model, Sampling, guided_denoiser
from .card import Card
from .cards import card_of
from .clips import measuring_clips
from .examples import check_data, example_conditions, spread
from .features import QUICK, ClipScore, FeatureNet, load_features
from .metrics.scenes import JUDGES
from .score import CHUNK, check_counts, proportional, score_pictures, with_captions, with_clip
from .speed import Comparison, Timed, count_calls, time_sampling
from .sweep import Sweep, guided_by, ways

TIMED = 64  # samples drawn at once to take the time
FEW = 1000  # samples of a quick evaluation

Progress = Callable[[int, int], Any]  # (how many samples are drawn, of how many)


@dataclass(frozen=True)
class EvaluateSettings:
    """A recipe's `evaluate`.

    n         how many samples
    features  what they are seen through, a name or a file of weights (see `load_features`)
    """

    n: Annotated[int, Within(2, 1_000_000)] = 10_000
    features: str = "cnn"

    @property
    def quick(self) -> "EvaluateSettings":
        """For a first look: fewer samples, seen through a CNN of its own that was trained for less long."""
        return EvaluateSettings(min(self.n, FEW), QUICK)


@dataclass(frozen=True)
class Protocol:
    """What is measured of a model's samples. Which samples they are, their noise included, a `Sampling` says."""

    n: int = 10_000
    features: str | Path | Callable[..., FeatureNet] = "cnn"  # what pictures are seen through, see `load_features`
    seed: int = 0  # of what is random in measuring: which real examples, which subsets
    compare: Sequence[tuple[str, int]] = ()  # (sampler, steps): these side by side, with their speed
    scales: Sequence[float] = ()  # of guidance to sweep, rising
    sweep_steps: Sequence[int] = ()  # numbers of steps to sweep it at, none for those of the sampling
    clip: ClipScore | None = None  # measures the fit of samples and captions as well

    def __post_init__(self) -> None:
        if self.n < 2:
            raise Usage(f"evaluate at least 2 samples, not {self.n}")
        if self.compare and self.scales:
            raise Usage("--compare and --sweep are two questions; ask one at a time")
        if self.sweep_steps and not self.scales:
            raise Usage("--sweep-steps says at how many steps to sweep guidance; name its scales with --sweep")


def evaluate(
    model: Model, train: Dataset, test: Dataset, protocol: Protocol, sampling: Sampling, progress: Progress | None = None
) -> Card | Comparison | Sweep:
    """The card of a model's samples; with `protocol.compare` a Comparison, a card a sampler; with `protocol.scales` a Sweep, a card a scale.

    What cannot be is said, as Usage or Problem, before anything is trained or drawn. progress(done, total) is called as samples are drawn.
    """
    if protocol.scales and not model.conditions and sampling.weak is None:
        raise Usage("this model has no condition to guide by, so there is nothing to sweep")
    lines = ways(model, sampling, protocol.sweep_steps) if protocol.scales else {}
    samplings = [sampling.merged({"sampler": name, "steps": steps}) for name, steps in protocol.compare]
    samplings = samplings or [guided_by(own, scale) for own in lines.values() for scale in protocol.scales] or [sampling]
    for own in samplings:
        guided_denoiser(model, 1, own, model.with_defaults(1, {}))
    for data in (train, test):
        check_data(model, data)
    if protocol.clip and ("text" not in model.conditions or not test.text):
        raise Usage("a CLIP score is of pictures and their captions; this run has none, so leave --clip-model out")
    if not card_of(model.shape, test.medium):
        check_counts(protocol.n, test)
    n, measure = protocol.n, measuring(model, train, test, protocol)
    given = example_conditions(model, test, n)
    if "label" in model.conditions and "label" in test.keys and "label" not in given:
        given = given | {"label": proportional(test, n)}  # as the reference is
    conditions = model.with_defaults(n, given)
    times, cards = [], []  # (evaluations, seconds) a sample, where samplers are compared

    def counted(done: int) -> None:
        if progress:
            progress(n * len(cards) + done, n * len(samplings))

    for own in samplings:
        if protocol.compare:
            times.append(timed(model, min(n, TIMED), own, conditions))
        cards.append(measure(drawn(model, n, own, conditions, counted), conditions))
    if protocol.compare:
        named = zip(protocol.compare, times, cards, strict=True)
        return Comparison([Timed(sampler, steps, nfe, seconds, card) for (sampler, steps), (nfe, seconds), card in named])
    each = len(protocol.scales)
    return Sweep(protocol.scales, {name: cards[i * each : (i + 1) * each] for i, name in enumerate(lines)}) if lines else cards[0]


def measuring(model: Model, train: Dataset, test: Dataset, protocol: Protocol) -> Callable[[Tensor, Mapping[str, Any]], Card]:
    """(samples, their conditions) -> Card; networks, and the figures of real captions, are made once."""
    if card := card_of(train.shape, test.medium):
        return lambda samples, conditions: card(samples, train, test, protocol.seed)
    return MEASURES.get(test.medium or usual_medium(test.shape), pictures_measured)(model, train, test, protocol)


def clips_measured(model: Model, train: Dataset, test: Dataset, protocol: Protocol) -> Callable[[Tensor, Mapping[str, Any]], Card]:
    """As `measuring`, of clips."""
    if protocol.clip:
        raise Usage("a CLIP score is of pictures and their captions, and these are clips; leave --clip-model out")
    known = getattr(model.conditions["image"], "known_of", None) if "image" in model.conditions else None
    return measuring_clips(train, test, protocol.features, model.device, protocol.seed, known)


# what measures examples through networks, by their medium, where it is not `pictures_measured`
MEASURES: dict[str, Callable[[Model, Dataset, Dataset, Protocol], Callable[[Tensor, Mapping[str, Any]], Card]]] = {"videos": clips_measured}


def pictures_measured(model: Model, train: Dataset, test: Dataset, protocol: Protocol) -> Callable[[Tensor, Mapping[str, Any]], Card]:
    """As `measuring`, of pictures, and of what is seen as pictures."""
    seen_train, seen_test = (Seen(data, data.seen) if data.seen else data for data in (train, test))
    net = load_features(protocol.features, seen_train, seen_test, model.device)
    judge, clip, few = JUDGES.get(test.name) if "text" in model.conditions else None, protocol.clip, min(protocol.n, len(test))
    real = test.get(spread(few, len(test))) if judge or clip else {}
    real_tally = judge(real["x"], real["text"]) if judge else None

    def measure(samples: Tensor, conditions: Mapping[str, Any]) -> Card:
        pictures = torch.cat([test.seen(part) for part in samples.split(CHUNK)]) if test.seen else samples
        card = score_pictures(pictures, conditions.get("label"), seen_train, seen_test, net, protocol.seed)
        if judge and real_tally:
            card = with_captions(card, judge(samples, conditions["text"]), real_tally)
        if clip:
            card = with_clip(card, clip, samples, conditions["text"], (real["x"], real["text"]))
        return card

    return measure


def drawn(model: Model, n: int, sampling: Sampling, conditions: Mapping[str, Any], progress: Callable[[int], Any] | None = None) -> Tensor:
    """n samples (n, C, *S) as float32 on the CPU."""
    return model.sample(n, sampling, progress=progress, **conditions).cpu().float()


def timed(model: Model, n: int, sampling: Sampling, conditions: Mapping[str, Any]) -> tuple[float, float]:
    """Evaluations of the network, and seconds, for each of n samples that are drawn at once."""
    few, own = {key: None if value is None else value[:n] for key, value in conditions.items()}, replace(sampling, batch=n)
    with count_calls(model.denoiser) as calls:
        drawn(model, n, own, few)
    return sum(calls) / n, time_sampling(lambda: drawn(model, n, own, few)) / n
