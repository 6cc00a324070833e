"""A trained model's samples, drawn and measured."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..errors import Problem, Usage
from ..model import Model
from .card import Card
from .features.clip import ClipScore, with_clip
from .features.prepare import load_features
from .metrics.points import score_points
from .metrics.scenes import JUDGES, judged
from .protocol import score
from .speed import Comparison, Timed, count_calls, parse, time_sampling
from .sweep import Sweep, counts, scales, ways

TIMED = 64  # samples drawn at once to take the time

Draw = Callable[[Model, int, int, int | None, Mapping[str, Any], Mapping[str, Any]], Tensor]


def plainly(model: Model, n: int, seed: int, batch: int | None, walk: Mapping[str, Any], conditions: Mapping[str, Any]) -> Tensor:
    """n samples of the model on the CPU, without a progress bar."""
    return model.sample(n, seed=seed, batch=batch, **walk, **conditions).cpu().float()


def score_run(
    model: Model,
    train: Dataset,
    test: Dataset,
    n: int = 10_000,
    walk: Mapping[str, Any] | None = None,
    seed: int = 0,
    features: str | Path = "cnn",
    compare: str | None = None,
    draw: Draw = plainly,
    sweep: str | None = None,
    sweep_steps: str | None = None,
    clip: ClipScore | None = None,
) -> Card | Comparison | Sweep:
    """The card of n samples of a model, every class in turn; with `compare` ("ddim:50,ddim:1000") the samplers side by side instead, with
    `sweep` ("1,1.5,3") the same at those scales of guidance, each at `sweep_steps` ("5,10,20") and in the `ways` that the walk asks for.

    walk      sampler, steps, guidance, weak, … as `Model.sample` takes them; None takes the model's own
    features  see `load_features`; points need none
    draw      how samples are drawn, so that a caller can show progress
    clip      measures how well samples fit their captions as well
    """
    walk = dict(walk or {})
    if compare and sweep:
        raise Usage("--compare and --sweep are two questions; ask one at a time")
    if sweep_steps and not sweep:
        raise Usage("--sweep-steps says at how many steps to sweep guidance; name its scales with --sweep")
    asked, guidances = parse(compare) if compare else [], scales(sweep) if sweep else []
    if guidances and not model.conditions and walk.get("weak") is None:
        raise Usage("this model has no condition to guide by, so there is nothing to sweep")
    lines = ways(walk, counts(sweep_steps) if sweep_steps else [], bool(model.conditions)) if guidances else {}
    walks = [walk | {"sampler": name, "steps": steps} for name, steps in asked]
    for each in walks or [own | {"guidance": g} for own in lines.values() for g in guidances] or [walk]:
        _possible(model, each)  # what cannot be is said before anything is trained or drawn
    for data in (train, test):
        fits(model, data)
    if clip and ("text" not in model.conditions or not test.text):
        raise Usage("a CLIP score is of pictures and their captions; this run has none, so leave --clip-model out")
    measure = _measure(model, train, test, features, seed, clip)
    conditions = model.asked(n, held_out(model, test, n))
    if guidances:

        def card(own: Mapping[str, Any], scale: float) -> Card:
            return measure(draw(model, n, seed, None, {**own, "guidance": scale}, conditions), conditions)

        return Sweep(guidances, {name: [card(own, scale) for scale in guidances] for name, own in lines.items()})
    if not walks:
        return measure(draw(model, n, seed, None, walk, conditions), conditions)
    return Comparison([_timed(model, n, seed, each, conditions, draw, measure) for each in walks])


def held_out(model: Model, test: Dataset, n: int) -> dict[str, Any]:
    """What n held-out examples, each in turn, ask of conditions, unless those have a varied lot of their own, as labels have."""
    if not any(condition.from_data for condition in model.conditions.values()):
        return {}
    batch = test.get(torch.arange(n) % len(test))
    return {key: condition.read(batch) for key, condition in model.conditions.items()}


def _possible(model: Model, walk: Mapping[str, Any]) -> None:
    """Raises Usage where the model cannot be walked so: an unknown name, or guidance that it cannot follow."""
    weak = walk.get("weak")
    plan = model.plan(**{key: value for key, value in walk.items() if key != "weak"})
    model.bind(plan, 1, model.asked(1, {}), weak)


def fits(model: Model, data: Dataset) -> None:
    """Raises Problem where the data is not of the kind that the model makes."""
    cure = "evaluate it on the data it was trained on"
    if tuple(data.shape) != model.shape:
        raise Problem(f"the run makes examples of shape {model.shape}, the data has {tuple(data.shape)}; {cure}")
    ours, theirs = (tuple(map(str, classes)) for classes in (model.classes, data.classes))
    if "label" in model.conditions and ours and ours != theirs:
        raise Problem(f"the run knows {_named(ours)}, the data has {_named(theirs)}; {cure}")


def _named(classes: Sequence[str]) -> str:
    """How many classes, and the first of them."""
    return f"{len(classes)} classes ({', '.join(classes[:5])}{', …' if len(classes) > 5 else ''})" if classes else "no classes"


def _measure(
    model: Model, train: Dataset, test: Dataset, features: str | Path, seed: int, clip: ClipScore | None = None
) -> Callable[[Tensor, Mapping[str, Any]], Card]:
    if len(train.shape) == 1:
        return lambda samples, conditions: score_points(samples, train, test, seed)
    net = load_features(features, train, test, model.device)
    judge = JUDGES.get(test.name) if "text" in model.conditions else None

    @cache
    def real(n: int) -> tuple[Tensor, Sequence[str]]:
        few = min(len(test), n)
        return test.get(torch.arange(few))["x"], (test.text or ())[:few]

    @cache
    def real_judged(n: int) -> Any:
        return judge(*real(n)) if judge else None

    def measure(samples: Tensor, conditions: Mapping[str, Any]) -> Card:
        card = score(samples, conditions.get("label"), train, test, net, seed)
        if judge:
            card = judged(card, judge(samples, conditions["text"]), real_judged(len(samples)))
        if clip:
            card = with_clip(card, clip, samples, conditions["text"], real(len(samples)))
        return card

    return measure


def _timed(
    model: Model,
    n: int,
    seed: int,
    walk: Mapping[str, Any],
    conditions: Mapping[str, Any],
    draw: Draw,
    measure: Callable[[Tensor, Mapping[str, Any]], Card],
) -> Timed:
    few = min(n, TIMED)
    some = {key: None if value is None else value[:few] for key, value in conditions.items()}
    with count_calls(model.denoiser) as calls:
        plainly(model, few, seed, None, walk, some)
    seconds = time_sampling(lambda: plainly(model, few, seed, None, walk, some)) / few
    card = measure(draw(model, n, seed, None, walk, conditions), conditions)
    return Timed(walk["sampler"], walk["steps"], sum(calls) / few, seconds, card)
