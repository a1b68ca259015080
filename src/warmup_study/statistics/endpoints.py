"""What is measured on a table of runs: one task, one arm, several peak learning rates and seeds.

Every function takes the rows of ONE task and ONE arm (columns as `store` writes them) unless it says otherwise. The
gains compare an arm with the control `none` on the same seeds and return an Effect; positive always means that the arm
did better. Divergence is an outcome: a diverged run counts with the loss it had at initialisation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from warmup_study.statistics.bootstrap import RESAMPLES, Effect, Floats, blurred, seed_effect

SELECTION, CONFIRMATION = "selection", "confirmation"
TRAINED = 0.5  # a run has trained once its loss is below this share of its loss at initialisation
_TINY = np.finfo(float).tiny  # keeps the logarithm of an exact zero finite


@dataclass(frozen=True)
class Tuned:
    """An arm at its best peak learning rate.

    `losses` are the test losses of the confirmation runs at `lr`, indexed by seed; `diverged` counts those of them
    that diverged (they carry their loss at initialisation); `on_edge` says that `lr` is the first or the last of the
    grid, so that a better one may lie outside.
    """

    lr: float
    on_edge: bool
    losses: pd.Series
    diverged: int


@dataclass(frozen=True)
class TrainableLR:
    """log2 of the largest trainable learning rate, and whether the grid hides the true one.

    `below_grid`: none was trainable, and the value is one grid step below the first; `above_grid`: the last one still
    was, and the value is a lower bound.
    """

    log2_lr: float
    below_grid: bool
    above_grid: bool


def capped(losses: npt.ArrayLike, initial: npt.ArrayLike) -> Floats:
    """min(loss, loss at initialisation), the latter where the loss is not finite (Wortsman et al. 2023, 2309.14322).

    Shapes broadcast.
    """
    loss, start = np.broadcast_arrays(np.asarray(losses, dtype=float), np.asarray(initial, dtype=float))
    return np.where(np.isfinite(loss), np.minimum(loss, start), start)


def loss_table(
    runs: pd.DataFrame, column: str = "test_loss", role: str | None = None, cap: bool = True
) -> pd.DataFrame:
    """Losses as seeds (rows) x learning rates (columns), both ascending.

    `role` keeps the selection or the confirmation runs only. Diverged runs hold the loss at initialisation, or NaN
    with `cap=False`. ValueError if there are no runs, or a seed misses a learning rate, or has one twice.
    """
    chosen = _of_role(runs, role)
    losses = chosen[column].astype(float).where(chosen["status"] == "ok")
    return _pivot(chosen, capped(losses, chosen["initial_loss"]) if cap else losses)


def tuned(runs: pd.DataFrame) -> Tuned:
    """Pick the peak learning rate on the selection seeds, report the test loss on the confirmation seeds.

    The pick has the lowest mean validation loss (the smaller rate on a tie). A rate at which a selection run diverged
    is not eligible unless every rate has one.
    """
    validation, diverged = _selection(runs)
    test = loss_table(runs, "test_loss", CONFIRMATION)
    best = int(_best(validation, diverged))
    lr = test.columns[best]
    failed = _pivot(*_failed(runs, CONFIRMATION))
    return Tuned(float(lr), best in (0, test.shape[1] - 1), test[lr], int(failed[lr].sum()))


def lr_sensitivity(table: npt.ArrayLike, initial: npt.ArrayLike) -> Floats:
    """Mean over the grid of min(loss, loss at init), less the best loss in the grid (Wortsman et al. 2023, 2309.14322).

    `table` has shape [..., S, L]; `initial` broadcasts against it. Both terms are taken on the mean curve over the S
    seeds. Shape [...] in the unit of the loss; 0 would be a loss that does not depend on the learning rate.
    """
    curve = capped(table, initial).mean(axis=-2)
    return np.asarray(curve.mean(axis=-1) - curve.min(axis=-1))


def max_trainable_lr(runs: pd.DataFrame, column: str = "test_loss") -> TrainableLR:
    """Largest grid rate at which at least half the seeds end finite and below half their loss at initialisation."""
    trained, lrs = _trained(runs, column)
    step = int(_largest_trained(trained))
    return TrainableLR(float(_log2_with_step_below(lrs)[step]), step == 0, step == lrs.size)


def steps_to_target(evaluated_at: Sequence[int], curve: Sequence[float], target: float, smooth: int = 3) -> int | None:
    """First update at which the smoothed validation loss is at or below `target`; None if it never is (censored).

    Smoothed is the median of the last `smooth` evaluations (of fewer at the start), so that one lucky evaluation does
    not count. Losses that are not finite count as infinite.
    """
    losses = np.where(np.isfinite(curve), curve, np.inf)
    for k, update in enumerate(evaluated_at):
        if np.median(losses[max(0, k + 1 - smooth) : k + 1]) <= target:
            return int(update)
    return None


def steps_to_share(runs: pd.DataFrame, share: float) -> pd.Series:
    """Per run of any arm: steps_to_target at `share` of the loss at initialisation; null = censored."""
    curves = zip(runs["evaluated_at"], runs["validation_curve"], share * runs["initial_loss"], strict=True)
    steps = [steps_to_target(updates, curve, target) for updates, curve, target in curves]
    return pd.Series(steps, index=runs.index, dtype="Int64")


def result_variance(losses: npt.ArrayLike) -> Floats:
    """Unbiased variance over seeds: shape [..., S] to [...], in the squared unit of the loss."""
    return np.asarray(np.var(np.asarray(losses, dtype=float), axis=-1, ddof=1))


def tuned_gain(none_runs: pd.DataFrame, arm_runs: pd.DataFrame, resamples: int = RESAMPLES) -> Effect:
    """Mean over confirmation seeds of ln(loss of none / loss of the arm), each at its tuned rate; 0.1 is about 10 %.

    The selection seeds are resampled too, and the rate picked anew each time: two equal arms often pick two rates, and
    an interval that took the picks for granted would call that a difference. Hence the confirmation runs must cover
    the whole grid. `n` counts the confirmation seeds.
    """
    _check_paired(none_runs, arm_runs)
    none, arm = _tuned_log_loss(none_runs), _tuned_log_loss(arm_runs)
    return seed_effect(
        lambda seeds, selectors: none(seeds, selectors) - arm(seeds, selectors),
        _seeds(none_runs, CONFIRMATION),
        also=(_seeds(none_runs, SELECTION),),
        resamples=resamples,
    )


def tuned_excess(arm_runs: pd.DataFrame, rivals: Sequence[pd.DataFrame], resamples: int = RESAMPLES) -> Effect:
    """Mean over confirmation seeds of ln(loss of the arm / loss of the best rival), each at its tuned rate.

    The best rival and its rate are picked together on the selection seeds, which are resampled with them as in
    `tuned_gain`. With the arm among the rivals, 0 says that it is the best itself.
    """
    for runs in rivals:
        _check_paired(arm_runs, runs)
    arm, best = _tuned_log_loss(arm_runs), _tuned_log_loss(*rivals)
    return seed_effect(
        lambda seeds, selectors: arm(seeds, selectors) - best(seeds, selectors),
        _seeds(arm_runs, CONFIRMATION),
        also=(_seeds(arm_runs, SELECTION),),
        resamples=resamples,
    )


def sensitivity_gain(
    none_runs: pd.DataFrame, arm_runs: pd.DataFrame, column: str = "test_loss", resamples: int = RESAMPLES
) -> Effect:
    """lr_sensitivity of none less that of the arm, as a share of the mean loss at initialisation; all seeds given."""
    _check_paired(none_runs, arm_runs)
    none, arm = (loss_table(runs, column).to_numpy() for runs in (none_runs, arm_runs))
    initial = _pivot(none_runs, none_runs["initial_loss"]).to_numpy()

    def statistic(seeds: npt.NDArray[np.intp]) -> Floats:
        start = initial[seeds]
        gain = lr_sensitivity(none[seeds], start) - lr_sensitivity(arm[seeds], start)
        return np.asarray(gain / start.mean(axis=(-2, -1)))

    return seed_effect(statistic, len(none), resamples=resamples)


def trainable_gain(
    none_runs: pd.DataFrame, arm_runs: pd.DataFrame, column: str = "test_loss", resamples: int = RESAMPLES
) -> Effect:
    """log2 ratio of the arm's largest trainable rate to that of none, in doublings; all seeds given.

    It moves in grid steps, so an interval of no width is possible; `max_trainable_lr` says where the grid hides one.
    """
    _check_paired(none_runs, arm_runs)
    none, lrs = _trained(none_runs, column)
    arm, _ = _trained(arm_runs, column)
    steps = _log2_with_step_below(lrs)
    effect = seed_effect(
        lambda seeds: steps[_largest_trained(arm[seeds])] - steps[_largest_trained(none[seeds])],
        len(none),
        resamples=resamples,
    )
    return blurred(effect, float(steps[1] - steps[0]))


def variance_gain(none_losses: npt.ArrayLike, arm_losses: npt.ArrayLike, resamples: int = RESAMPLES) -> Effect:
    """ln(variance of none / variance of the arm) over the same seeds: two rows [S] of finite losses, paired."""
    none, arm = np.asarray(none_losses, dtype=float), np.asarray(arm_losses, dtype=float)
    if none.shape != arm.shape or none.ndim != 1 or not np.isfinite([none, arm]).all():
        raise ValueError("variance_gain takes two equally long rows of finite losses")
    return seed_effect(
        lambda seeds: log(result_variance(none[seeds])) - log(result_variance(arm[seeds])),
        none.size,
        resamples=resamples,
    )


def _tuned_log_loss(*arms: pd.DataFrame) -> Callable[..., Floats]:
    """Mean log test loss [B] as a function of confirmation seeds [B, n] and selection seeds [B, m].

    Of several arms on the same seeds, it is that of the one which is best at its tuned rate.
    """
    picking = [_selection(runs) for runs in arms]
    validation, diverged = (np.concatenate(tables, axis=1) for tables in zip(*picking, strict=True))
    tests = [loss_table(runs, "test_loss", CONFIRMATION).to_numpy() for runs in arms]
    log_test = log(np.concatenate(tests, axis=1))

    def statistic(seeds: npt.NDArray[np.intp], selectors: npt.NDArray[np.intp]) -> Floats:
        best = _best(validation[selectors], diverged[selectors])
        return np.asarray(log_test[seeds, best[:, None]].mean(axis=-1))

    return statistic


def _selection(runs: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Validation losses and divergence of the selection runs, each [S, L]."""
    validation = loss_table(runs, "validation_loss", SELECTION).to_numpy()
    return validation, _pivot(*_failed(runs, SELECTION)).to_numpy(dtype=bool)


def _best(validation: Floats, diverged: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Column of the lowest mean validation loss among the eligible: [..., S, L] to [...]."""
    free = ~diverged.any(axis=-2)
    eligible = free | ~free.any(axis=-1, keepdims=True)
    return np.asarray(np.where(eligible, validation.mean(axis=-2), np.inf).argmin(axis=-1))


def _trained(runs: pd.DataFrame, column: str) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Whether each run [S, L] has trained, and the rates [L]."""
    losses = loss_table(runs, column, cap=False)
    start = _pivot(runs, runs["initial_loss"]).to_numpy()
    return losses.to_numpy() < TRAINED * start, losses.columns.to_numpy(dtype=float)


def _largest_trained(trained: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """1-based column of the largest rate at which half the seeds have trained, 0 if none: [..., S, L] to [...]."""
    enough = trained.mean(axis=-2) >= 0.5
    return np.asarray((enough * np.arange(1, enough.shape[-1] + 1)).max(axis=-1))


def _log2_with_step_below(lrs: Floats) -> Floats:
    """log2 of the grid [L], with one more grid step in front: [L + 1]."""
    exponents = np.log2(lrs)
    step = exponents[1] - exponents[0] if exponents.size > 1 else 1.0
    return np.concatenate([[exponents[0] - step], exponents])


def log(values: Floats) -> Floats:
    """Natural logarithm that keeps an exact zero finite."""
    return np.asarray(np.log(np.maximum(values, _TINY)))


def _of_role(runs: pd.DataFrame, role: str | None) -> pd.DataFrame:
    return runs if role is None else runs[runs["role"] == role]


def _failed(runs: pd.DataFrame, role: str) -> tuple[pd.DataFrame, pd.Series]:
    chosen = _of_role(runs, role)
    return chosen, chosen["status"] != "ok"


def _seeds(runs: pd.DataFrame, role: str) -> int:
    return int(_of_role(runs, role)["seed"].nunique())


def _pivot(runs: pd.DataFrame, values: Any) -> pd.DataFrame:
    """Values (one per run) as seeds x learning rates; ValueError unless each pair is there exactly once."""
    seeds, row = np.unique(runs["seed"].to_numpy(dtype=np.int64), return_inverse=True)
    lrs, column = np.unique(runs["lr"].to_numpy(dtype=float), return_inverse=True)
    count = np.zeros((seeds.size, lrs.size), dtype=int)
    np.add.at(count, (row, column), 1)
    if count.size == 0 or (count != 1).any():
        missing, double = (count == 0).sum(), (count > 1).sum()
        raise ValueError(f"{len(runs)} runs do not fill a seeds x rates table: {double} double, {missing} missing")
    table = np.empty(count.shape, dtype=np.asarray(values).dtype)
    table[row, column] = values
    return pd.DataFrame(table, index=pd.Index(seeds, name="seed"), columns=pd.Index(lrs, name="lr"))


def _check_paired(none_runs: pd.DataFrame, arm_runs: pd.DataFrame) -> None:
    """ValueError unless both arms ran the same seeds, in the same roles, at the same rates."""
    keys = ["role", "seed", "lr"]
    none, arm = (set(runs[keys].itertuples(index=False, name=None)) for runs in (none_runs, arm_runs))
    if none != arm:
        raise ValueError(f"arms are not paired: {len(none ^ arm)} (role, seed, rate) are in one of them only")
