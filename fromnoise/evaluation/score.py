"""Cards of samples: pictures in features, points by their coordinates; as many real training examples are measured the same way beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..data import Dataset
from ..errors import Problem
from ..progress import track
from .card import Card, Row
from .features import ClipScore, FeatureNet, observe
from .metrics.distances import distance_to_data, energy_distance, frechet, kid, precision_recall, sliced_wasserstein
from .metrics.scenes import ATTRIBUTES, Tally

CHUNK = 500  # images at a time
LARGEST, MOST_POINTS = 50_000, 10_000  # images, and points, of the reference
FEW = 2048  # samples below which a Fréchet distance is mostly bias
NEIGHBOURS, SUBSETS = 3, 100

PICTURES = (
    "Reference: {m:,} test {what}. Real data: {r:,} random training {what}{alike}, measured like the samples against the same reference. "
    "Samples {seen}rounded to 8 bits like saved files. Features: the penultimate layer of {net}, weights {digest}. "
    "KID ± its standard deviation over {subsets} subsets of {size:,}; precision and recall with k = {k}."
)
POINTS = (
    "Reference: {m:,} test points. Real data: {r:,} training points, measured like the samples against the same reference. "
    "Sliced Wasserstein-2 over 128 random directions; energy distance 2E|x-y| - E|x-x'| - E|y-y'|."
)


def with_captions(card: Card, found: Tally, real: Tally) -> Card:
    """The card with how far the captions are obeyed put first, beside what the judge says of real pictures; what was confused goes into its notes."""
    rows = [Row("captions obeyed", found.share, real.share, better="higher")]
    rows += [Row(f"obeyed: {name}", found.of(name), real.of(name), better="higher") for name in ATTRIBUTES if found.checked[name]]
    return replace(card, rows=[*rows, *card.rows], notes=[*found.mistakes(), *card.notes])


def with_clip(card: Card, clip: ClipScore, samples: Tensor, captions: Sequence[str], real: tuple[Tensor, Sequence[str]]) -> Card:
    """The card with the CLIP score put first, beside that of real pictures to their own captions; its notes say what captions at random reach."""
    own, theirs = clip(samples, captions), clip(*real)
    half = len(real[1]) // 2  # neighbours may be alike
    others = clip(real[0], [*real[1][half:], *real[1][:half]])
    row = Row("CLIP score", float(own.mean()), float(theirs.mean()), float(own.std() / len(own) ** 0.5), better="higher")
    note = f"CLIP score by {clip.name}; real pictures with each other's captions reach {float(others.mean()):.2f}"
    return replace(card, rows=[row, *card.rows], notes=[*card.notes, note])


def score_pictures(samples: Tensor, labels: Tensor | None, train: Dataset, test: Dataset, features: FeatureNet, seed: int = 0) -> Card:
    """The card of samples (N, C, H, W) in [-1, 1], drawn for labels (N,) int64, or None where they were drawn unconditionally.

    Fréchet distance, KID, precision and recall against the test split (50,000 random images of it if it has more), and the share of samples
    whose label the network recognises; beside each that of as many random training images, in the samples' class proportions.
    """
    _check(samples, labels, test)
    what, seen = ("examples", f"are seen as their {test.seen_as}, ") if test.seen_as else ("images", "")
    draw, n = torch.Generator().manual_seed(seed), len(samples)
    # Without labels the network may still predict something (how far a picture is turned), which is no class.
    labels = None if labels is None or len(test.classes) < 2 else labels.cpu()
    chosen = torch.randperm(len(test), generator=draw)[:LARGEST].sort().values
    real = torch.randperm(len(train), generator=draw)[:n] if labels is None else alike(train, labels, draw)
    reference, guessed_real = observe(features, _pictures(test, chosen, f"measuring test {what}"))
    beside, _ = observe(features, _pictures(train, real.sort().values, f"measuring training {what}"))
    found, guessed = observe(features, iter(samples.split(CHUNK)))
    rows = _distances(found, beside, reference, features.name, seed)
    if features.classes in (None, len(test.classes)) and not (labels is None or guessed is None or guessed_real is None):
        rows += _accuracies(guessed == labels, labels, guessed_real, test.labels(chosen), test.classes, features.name)
    size = min(1000, n, len(beside), len(reference))
    said = {"net": features.name, "digest": features.digest, "size": size, "subsets": SUBSETS, "k": NEIGHBOURS, "what": what, "seen": seen}
    said["alike"] = "" if labels is None else " with the samples' class proportions"
    protocol = " ".join(filter(None, (PICTURES.format(m=len(reference), r=len(beside), **said), features.note)))
    return Card(f"{test.name}, {n:,} samples", features.name, n, len(reference), protocol, rows, _notes(found, beside, reference, what))


def alike(train: Dataset, labels: Tensor, draw: torch.Generator) -> Tensor:
    """Random examples of `train` with as many of each class as `labels` (N,) has, or all of a class that has fewer; (N,) indices."""
    wanted = torch.bincount(labels, minlength=len(train.classes))
    kept = []
    for part in torch.randperm(len(train), generator=draw).split(4096):
        theirs = train.labels(part)
        for label in wanted.nonzero().flatten().tolist():
            mine = part[theirs == label][: wanted[label]]
            wanted[label] -= len(mine)
            kept.append(mine)
        if not wanted.any():
            break
    return torch.cat(kept)


def proportional(data: Dataset, n: int) -> Tensor:
    """n labels (n,) in the class proportions of the data, to the nearest whole number, the classes taking turns."""
    counts = torch.bincount(data.labels(torch.arange(len(data))), minlength=len(data.classes))
    wanted, rest = n * counts // len(data), n * counts % len(data)
    wanted[rest.argsort(descending=True, stable=True)[: n - int(wanted.sum())]] += 1
    turns = torch.cat([(torch.arange(count) + 0.5) / count for count in wanted.tolist()])
    return torch.arange(len(wanted)).repeat_interleave(wanted)[turns.argsort(stable=True)]


def _pictures(dataset: Dataset, indices: Tensor, words: str) -> Iterator[Tensor]:
    parts = indices.split(CHUNK)
    return (dataset.get(part)["x"] for part in track(parts, words, len(parts)))


def check_shape(samples: Tensor, test: Dataset) -> None:
    if tuple(samples.shape[1:]) != tuple(test.shape):
        raise Problem(f"the samples are {tuple(samples.shape[1:])}, the data {tuple(test.shape)}; evaluate a run on its own data")


def check_counts(n: int, test: Dataset) -> None:
    """Raises Problem where so many samples, or held-out pictures, have no distance."""
    if n <= NEIGHBOURS:
        raise Problem(f"{n} samples are too few: give more than {NEIGHBOURS}, thousands to mean much")
    if len(test) <= NEIGHBOURS:
        cure = "add pictures, or train with a larger data.held_out"
        raise Problem(f"{len(test)} pictures are held out, and samples are compared with more than {NEIGHBOURS}, thousands to mean much: {cure}")


def _check(samples: Tensor, labels: Tensor | None, test: Dataset) -> None:
    check_shape(samples, test)
    check_counts(len(samples), test)
    if labels is not None and labels.shape != samples.shape[:1]:
        raise Problem(f"{len(samples)} samples but labels of shape {tuple(labels.shape)}; give one for each")
    if bad := len(samples) - int(samples.flatten(1).isfinite().all(1).sum()):
        raise Problem(f"{bad} of {len(samples)} samples hold NaN or infinity; take more steps, less guidance, or an earlier checkpoint")


def _distances(found: Tensor, beside: Tensor, reference: Tensor, net: str, seed: int) -> list[Row]:
    (kernel, kernel_std), (floor, floor_std) = (kid(x, reference, SUBSETS, seed=seed) for x in (found, beside))
    precision, recall = zip(*(precision_recall(reference, x, NEIGHBOURS) for x in (found, beside)), strict=True)
    return [
        Row(f"Fréchet distance · {net}", frechet(found, reference), frechet(beside, reference)),
        Row(f"KID · {net}", kernel, floor, kernel_std, floor_std),
        Row(f"precision · {net}", *precision, better="higher"),
        Row(f"recall · {net}", *recall, better="higher"),
    ]


def _accuracies(right: Tensor, labels: Tensor, guessed: Tensor, truth: Tensor, classes: tuple[str, ...], net: str) -> list[Row]:
    parts = {f"class accuracy · {net}": (right, guessed == truth)}
    for label in labels.unique().tolist():
        parts[f"class accuracy: {classes[label]}"] = right[labels == label], (guessed == truth)[truth == label]
    return [
        Row(name, hits.double().mean().item(), real.double().mean().item() if len(real) else None, better="higher")
        for name, (hits, real) in parts.items()
    ]


def _notes(found: Tensor, beside: Tensor, reference: Tensor, what: str) -> list[str]:
    n, dim = found.shape
    notes = {
        f"{n:,} samples cannot fill the {dim} dimensions of the features: a Fréchet distance means little; draw more": n <= dim,
        f"{n:,} samples are few: a Fréchet distance falls as n grows, compare it at one n only; {FEW:,} or more are usual": dim < n < FEW,
        f"the reference has only {len(reference):,} {what}, which raises both Fréchet distances": len(reference) < FEW,
        f"there are only {len(beside):,} training {what} to compare with, which raises their Fréchet distance": len(beside) < n,
    }
    return [note for note, holds in notes.items() if holds]


def score_points(samples: Tensor, train: Dataset, test: Dataset, seed: int = 0) -> Card:
    """The card of sampled points (N, D): distance to the data both ways, sliced Wasserstein and energy distance, beside real points."""
    check_shape(samples, test)
    if not samples.isfinite().all():
        raise Problem("some samples are not finite; take more steps or less guidance")
    draw = torch.Generator().manual_seed(seed)
    reference = test.get(torch.randperm(len(test), generator=draw)[:MOST_POINTS])["x"].cpu()
    real = train.get(torch.randperm(len(train), generator=draw)[: len(samples)])["x"].cpu()
    samples = samples.detach().cpu()
    measures = {
        "distance to data": lambda x: distance_to_data(x, reference),
        "distance of data to samples": lambda x: distance_to_data(reference, x),
        "sliced Wasserstein distance": lambda x: sliced_wasserstein(x, reference, seed=seed),
        "energy distance": lambda x: energy_distance(x, reference),
    }
    rows = [Row(name, measure(samples), measure(real)) for name, measure in measures.items()]
    notes = [f"the real figures are of only {len(real):,} points: there are no more to train on"] if len(real) < len(samples) else []
    protocol = POINTS.format(m=len(reference), r=len(real))
    return Card(f"{test.name}, {len(samples):,} samples", "coordinates", len(samples), len(reference), protocol, rows, notes)
