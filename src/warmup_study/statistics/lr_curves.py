"""Endpoints on curves of loss against learning rate: an arm against training without warmup, paired by seed.

All of them read one picture, the losses of two arms over the same learning rates and seeds: at the best learning rate
(`tuned_loss`), above it (`at_multiple`), below it (`cost`), and over the whole curve (`usable_lr`,
`largest_trainable_lr`). Learning rates are picked on the validation split over all seeds, and losses are reported on
the test split. Every bootstrap resample picks anew, so that the interval holds what the pick adds. Positive is better.

The difference of two gains (`bootstrap.difference`: Adam's less SGD's, a Transformer's less its twin's) and the mean
over tasks (`bootstrap.pooled`) keep what the parts share: effects on equally many seeds are resampled jointly, effects
on different numbers of seeds independently.
"""

from collections.abc import Callable, Sequence

import numpy as np

from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, difference, seed_effect
from warmup_study.statistics.curves import LrCurves as LrCurves
from warmup_study.statistics.curves import Seeds, drawn, medians
from warmup_study.statistics.endpoints import TRAINED, log

BELOW = 1 / 3  # times the best learning rate without warmup: where the cost is taken
OVERSHOOT = 2.0  # times the best learning rate without warmup: what is meant by "above the best learning rate"
SHARPNESS = 20.0  # of the soft minimum: a loss 5 % above the lowest weighs 0.4 of it, one 20 % above 0.03


def trains(none: LrCurves, arm: LrCurves) -> bool:
    """Whether the better of two arms ends below half its initial loss, on average at its best learning rate.

    A cell (a task with an optimiser) in which neither does has nothing to say about warmup.
    """
    return any(
        float(curves.test[:, curves.best].mean()) < TRAINED * float(curves.initial.mean()) for curves in (none, arm)
    )


def tuned_loss(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """ln(mean test loss without warmup / with it), each at its own best learning rate."""
    return _paired(none, arm, lambda curves, seeds: _mean_loss(curves, seeds, curves.picked(seeds)), resamples)


def soft_tuned_loss(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """The same with the soft minimum over the grid, which picks nothing: a check of `tuned_loss`.

    The mean of the log test losses, each learning rate weighed by (lowest validation loss / its own) to the power
    `SHARPNESS`.
    """

    def softly(curves: LrCurves, seeds: Seeds) -> Floats:
        validation, test = (log(curves.averaged(table, seeds)) for table in (curves.validation, curves.test))
        weights = np.exp(SHARPNESS * (validation.min(axis=1, keepdims=True) - validation))
        return np.asarray((weights * test).sum(axis=1) / weights.sum(axis=1))

    return _paired(none, arm, softly, resamples)


def overshoot(none: LrCurves, arm: LrCurves, multiple: float = OVERSHOOT, resamples: int = RESAMPLES) -> Effect:
    """`at_multiple` above the best learning rate: at twice it, where nothing else is said."""
    return at_multiple(none, arm, multiple, resamples)


def share_trained(
    none: LrCurves, arm: LrCurves, multiple: float = OVERSHOOT, resamples: int = RESAMPLES
) -> tuple[Effect, Effect, Effect]:
    """Shares of seeds that train at a multiple of the learning rate best without warmup: without, with, and the gain.

    Between the grid's learning rates they are interpolated in log learning rate.
    """
    _check_paired(none, arm)

    def share(curves: LrCurves, seeds: Seeds) -> Floats:
        targets = np.log(none.lrs[none.picked(seeds)] * multiple)
        return between(none.lrs, targets, drawn(seeds, curves.seeds) @ curves.trained / seeds.shape[1])

    without, with_warmup = (
        seed_effect(lambda seeds, curves=curves: share(curves, seeds), none.seeds, resamples=resamples)
        for curves in (none, arm)
    )
    return without, with_warmup, difference(with_warmup, without)


def at_multiple(
    none: LrCurves, arm: LrCurves, multiple: float, resamples: int = RESAMPLES, *, best_of: LrCurves | None = None
) -> Effect:
    """ln(mean test loss without warmup / with it), both at so many times the learning rate best without warmup.

    ``best_of``: the curves whose best learning rate is taken, where it is not that of ``none``: two comparisons at the
    same learning rate. Where a resample's learning rate lies outside the grid, the grid's end stands for it.
    """
    reference = best_of or none
    for curves in (arm, reference):
        _check_paired(none, curves)

    def statistic(seeds: Seeds) -> Floats:
        targets = np.log(none.lrs[reference.picked(seeds)] * multiple)
        return _log_mean_at(none, seeds, targets) - _log_mean_at(arm, seeds, targets)

    return seed_effect(statistic, none.seeds, resamples=resamples)


def cost(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """Gain at a third of the learning rate that is best without warmup: what warmup costs where nobody needs it."""
    return at_multiple(none, arm, BELOW, resamples)


def excess(
    none: LrCurves, lengths: Sequence[LrCurves], which: int, multiple: float | None = None, resamples: int = RESAMPLES
) -> Effect:
    """ln(mean test loss of one length of warmup / that of the best of all ``lengths``), which is never below 0.

    Each at its own best learning rate, or all at a ``multiple`` of the one that is best without warmup. Every resample
    picks the best length anew.
    """
    for curves in lengths:
        _check_paired(none, curves)

    def statistic(seeds: Seeds) -> Floats:
        if multiple is None:
            losses = [_mean_loss(curves, seeds, curves.picked(seeds)) for curves in lengths]
        else:
            targets = np.log(none.lrs[none.picked(seeds)] * multiple)
            losses = [_log_mean_at(curves, seeds, targets) for curves in lengths]
        return np.asarray(losses[which] - np.min(losses, axis=0))

    return seed_effect(statistic, none.seeds, resamples=resamples)


def usable_lr(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """Area between the two curves of loss over initial loss against log10 learning rate: decades of learning rate."""

    def area(curves: LrCurves, seeds: Seeds) -> Floats:
        shares = curves.averaged(curves.test / curves.initial[:, None], seeds)
        return np.asarray(np.trapezoid(shares, np.log10(curves.lrs), axis=-1))

    return _paired(none, arm, area, resamples)


def largest_trainable_lr(none: LrCurves, arm: LrCurves, resamples: int = RESAMPLES) -> Effect:
    """Gain in the largest trainable learning rate, in doublings."""
    _check_paired(none, arm)
    return seed_effect(
        lambda seeds: edge_of_training(arm, seeds) - edge_of_training(none, seeds), none.seeds, resamples=resamples
    )


def edge_of_training(curves: LrCurves, seeds: Seeds) -> Floats:
    """Log2 of the learning rate where the median loss last crosses half the initial loss, of each resample: [B].

    Interpolated in log learning rate; the grid's first where no learning rate trains, its last where that one does.
    """
    shares = medians(curves.test / curves.initial[:, None], seeds)
    trained = shares < TRAINED
    last = trained.shape[1] - 1 - trained[:, ::-1].argmax(axis=1)
    left = np.minimum(last, trained.shape[1] - 2)
    rows = np.arange(len(shares))
    inner, outer = shares[rows, left], shares[rows, left + 1]
    step = np.clip((TRAINED - inner) / np.where(outer == inner, 1.0, outer - inner), 0.0, 1.0)
    exponents = np.log2(curves.lrs)
    crossing = exponents[left] + step * (exponents[left + 1] - exponents[left])
    ends = np.where(trained.any(axis=1), exponents[-1], exponents[0])
    return np.asarray(np.where(trained.any(axis=1) & ~trained[:, -1], crossing, ends), dtype=float)


def _paired(none: LrCurves, arm: LrCurves, measure: Callable[[LrCurves, Seeds], Floats], resamples: int) -> Effect:
    _check_paired(none, arm)
    return seed_effect(lambda seeds: measure(none, seeds) - measure(arm, seeds), none.seeds, resamples=resamples)


def _mean_loss(curves: LrCurves, seeds: Seeds, columns: Seeds) -> Floats:
    return log(np.take_along_axis(curves.averaged(curves.test, seeds), columns[:, None], axis=1)[:, 0])


def _log_mean_at(curves: LrCurves, seeds: Seeds, log_lrs: Floats) -> Floats:
    """Log of the average test loss of each resample at its own log learning rate: [B]."""
    return between(curves.lrs, log_lrs, log(curves.averaged(curves.test, seeds)))


def between(lrs: Floats, log_lrs: Floats, values: Floats) -> Floats:
    """Values [B, L] at each resample's own log learning rate [B], linear between those of the grid: [B]."""
    places = np.interp(log_lrs, np.log(lrs), np.arange(len(lrs)))
    left = np.minimum(places.astype(int), len(lrs) - 2)
    share = places - left
    rows = np.arange(len(values))
    return np.asarray((1 - share) * values[rows, left] + share * values[rows, left + 1])


def _check_paired(none: LrCurves, arm: LrCurves) -> None:
    if none.test.shape != arm.test.shape or not np.allclose(none.lrs, arm.lrs):
        raise ValueError("arms are not paired: they take the same seeds at the same learning rates")
    if len(none.lrs) < 2:
        raise ValueError(f"learning rates: got {len(none.lrs)}; takes at least 2")
