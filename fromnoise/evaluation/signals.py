"""The card of signals: values, spectra and autocorrelations by channel, and the law of those that have a known one; all in their own units."""

import torch
from torch import Tensor

from ..data import Dataset
from ..data.units import channel_names, in_own_units
from ..errors import Problem
from .card import Card, Row
from .metrics.signals import LAWS, autocorrelation_distance, quantile_distance, spectrum_distance
from .score import check_shape

MOST = 2000  # held-out signals, and training ones, that are measured
DISTANCES = {
    "quantile distance": quantile_distance, "spectrum distance, dB": spectrum_distance, "autocorrelation distance": autocorrelation_distance,
}  # fmt: skip
PROTOCOL = (
    "Reference: {m:,} held-out signals. Real data: {r:,} training signals, measured like the samples. {units}. Quantile distance: mean difference of the 1 to 99 % "
    "quantiles of all values. Spectrum: of mean powers, root mean square over frequencies. Autocorrelation: mean difference at lags up to half the length."
)
LAW = " Apart: the difference of a mean, or a spread (standard deviation over signals), from the reference's, in percent; each signal is read by itself."


def score_signals(samples: Tensor, train: Dataset, test: Dataset, seed: int = 0) -> Card:
    """The card of signals (N, C, L) as a network made them. Raises Problem where some are not finite."""
    check_shape(samples, test)
    if not samples.isfinite().all():
        raise Problem("some samples are not finite; take more steps or less guidance")
    draw = torch.Generator().manual_seed(seed)
    reference, beside = (data.get(torch.randperm(len(data), generator=draw)[:most])["x"] for data, most in ((test, MOST), (train, min(MOST, len(samples)))))
    found, real, theirs = (in_own_units(x, train.units) for x in (samples, beside, reference))
    names, rows = channel_names(samples.shape[1], train.units), law(found, real, theirs, test.name)
    for i, name in enumerate(names):
        of = f", {name}" if len(names) > 1 else ""
        here, there = found[:, i], theirs[:, i]
        rows += [Row(f"mean{of}", float(here.mean()), float(there.mean()), better="near"), Row(f"spread{of}", float(here.std()), float(there.std()), better="near")]
    for words, distance in DISTANCES.items():
        values, floors = distance(found, theirs).tolist(), distance(real, theirs).tolist()
        rows += [Row(f"{words}{f', {name}' if len(names) > 1 else ''}", *both) for name, *both in zip(names, values, floors, strict=True)]
    protocol = PROTOCOL.format(m=len(theirs), r=len(real), units=f"Channels: {', '.join(names)}") + LAW * (test.name in LAWS)
    few = [f"the reference has only {len(theirs):,} signals, which raises all distances"] if len(theirs) < min(1000, len(samples)) else []
    return Card(f"{test.name}, {len(samples):,} samples", "values", len(samples), len(theirs), protocol, rows, few)


def law(samples: Tensor, real: Tensor, reference: Tensor, name: str) -> list[Row]:
    """What the law of a data set is of, in samples and in the reference, and how far the means and spreads are apart; [] where there is no known law."""
    if name not in LAWS:
        return []
    found, beside, theirs = (LAWS[name](x) for x in (samples, real, reference))
    rows = []
    for key, true in theirs.items():
        for word, measure in (("mean", torch.mean), ("spread", torch.std)):
            value, floor, truth = (float(measure(x)) for x in (found[key], beside[key], true))
            rows += [Row(f"{key}, {word}", value, truth, better="near"),
                     Row(f"{key}, {word} apart, %", 100 * abs(value / truth - 1), 100 * abs(floor / truth - 1))]  # fmt: skip
    return rows
