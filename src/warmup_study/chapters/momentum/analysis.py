"""What the third chapter's claims rest on, as functions of its table of runs alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study.claims.evidence import GAINS, named, where
from warmup_study.presentation.formatting import effect as effect_in_words
from warmup_study.presentation.style import OPTIMIZERS as LOOKS
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled
from warmup_study.statistics.endpoints import CONFIRMATION

FORMS = ("momentum", "momentum_lr_inside")
FORM_NAMES = dict(zip(FORMS, ("torch's form", "Sutskever's form"), strict=True))
BATCHED = ("sgd", "momentum")  # the optimisers that are compared over batch sizes
SENSITIVITY = "lr_sensitivity"


class Comparison(NamedTuple):
    """An arm with warmup, and the arm without that it is held against. ``optimizer`` and ``warmup`` give its look."""

    none: str
    arm: str
    optimizer: str
    warmup: str = "ramp"


COMPARISONS = {
    "SGD: ramp": Comparison("sgd/none", "sgd/ramp", "sgd"),
    "momentum: ramp": Comparison("momentum/none", "momentum/ramp", "momentum"),
    "momentum: low lr, then full": Comparison("momentum/none", "momentum/constant", "momentum", "constant"),
    "momentum: lr = 0, then full": Comparison("momentum/none", "momentum/zero", "momentum", "zero"),
    "Sutskever's form: ramp": Comparison("momentum_lr_inside/none", "momentum_lr_inside/ramp", "momentum_lr_inside"),
    "Sutskever's form: low lr, then full": Comparison(
        "momentum_lr_inside/none", "momentum_lr_inside/constant", "momentum_lr_inside", "constant"
    ),
    "Sutskever's form: lr = 0, then full": Comparison(
        "momentum_lr_inside/none", "momentum_lr_inside/zero", "momentum_lr_inside", "zero"
    ),
    "Nesterov's momentum: ramp": Comparison("nesterov/none", "nesterov/ramp", "nesterov"),
    "momentum: μ ramped, lr not": Comparison("momentum/none", "ramped/none", "momentum"),
    "momentum: μ and lr ramped": Comparison("momentum/none", "ramped/ramp", "momentum"),
    "Adam, β₁ = 0: ramp": Comparison("adam0/none", "adam0/ramp", "adam"),
    "Adam: ramp": Comparison("adam/none", "adam/ramp", "adam"),
}
"""What is held against what, by the name that the reader sees; ``zero`` has n updates more than ``none``."""

Gains = dict[tuple[str, str], Effect]  # by (comparison, endpoint)
BatchGains = dict[tuple[str, int], Effect]  # by (optimiser, batch size)
FormEffects = dict[tuple[str, str], Effect]  # by (form of momentum, quantity)


def gains(runs: pd.DataFrame) -> dict[str, Gains]:
    """Per task: what each comparison gains on each endpoint, at the usual batch; positive favours warmup."""
    grid = runs[runs["part"].isin(["grid", "zero", "adam"])]
    return {str(task): _gains_of(_by_arm(rows)) for task, rows in grid.groupby("task", sort=False)}


def _by_arm(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(arm): rows for arm, rows in runs.groupby("arm")}


def _gains_of(arms: Mapping[str, pd.DataFrame]) -> Gains:
    return {
        (name, endpoint): gain(arms[pair.none], arms[pair.arm])
        for name, pair in COMPARISONS.items()
        if pair.arm in arms
        for endpoint, gain in GAINS.items()
    }


def gain_table(gains_by_task: Mapping[str, Gains]) -> pd.DataFrame:
    """The gains as a table: a row per comparison and task, a column per endpoint, each with its interval in words."""
    rows = [
        {"comparison": name, "task": task} | {endpoint: effect_in_words(effects[name, endpoint]) for endpoint in GAINS}
        for task, effects in gains_by_task.items()
        for name in dict.fromkeys(name for name, _ in effects)
    ]
    return pd.DataFrame(rows)


def batch_gains(runs: pd.DataFrame) -> dict[str, BatchGains]:
    """Per task: the ramp's gain in lr_sensitivity, by optimiser and batch size, all on the confirmation seeds."""
    chosen = runs[runs["part"].isin(["grid", "batch"]) & (runs["role"] == CONFIRMATION)]
    return {str(task): _batch_gains_of(rows) for task, rows in chosen.groupby("task", sort=False)}


def _batch_gains_of(runs: pd.DataFrame) -> BatchGains:
    found = {}
    for optimizer in BATCHED:
        none, ramp = (_plain(runs, optimizer, warmup) for warmup in ("none", "ramp"))
        for batch in sorted(int(size) for size in runs["batch"].unique()):
            found[optimizer, batch] = GAINS[SENSITIVITY](where(none, batch=batch), where(ramp, batch=batch))
    return found


def _plain(runs: pd.DataFrame, optimizer: str, warmup: str) -> pd.DataFrame:
    """The runs of an arm whose momentum is not ramped."""
    return where(runs, optimizer=optimizer, warmup=warmup, momentum_ramp=0)


def momentum_differences(effects: BatchGains) -> dict[int, Effect]:
    """By batch size: gain of SGD with momentum less gain of SGD."""
    return {batch: difference(effects["momentum", batch], effects["sgd", batch]) for _, batch in effects}


def adaptive_effects(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per task, by name: the gains at each batch size, their differences, and the mean of these."""
    return {task: _adaptive(found) for task, found in batch_gains(runs).items()}


def _adaptive(effects: BatchGains) -> dict[str, Effect]:
    differences = momentum_differences(effects)
    return {
        **{f"{LOOKS[name].label}'s gain (batch {batch})": effect for (name, batch), effect in effects.items()},
        **{f"difference of the gains (batch {batch})": effect for batch, effect in differences.items()},
        "difference of the gains (mean)": pooled(list(differences.values())),
    }


def form_effects(runs: pd.DataFrame) -> dict[str, FormEffects]:
    """Per task and form of momentum: velocity, first real step and outcome of ``zero``, and what a ramp leaves."""
    return {str(task): _form_effects(rows) for task, rows in runs.groupby("task", sort=False)}


def _form_effects(runs: pd.DataFrame) -> FormEffects:
    grid, zero, probe = (where(runs, part=part) for part in ("grid", "zero", "probe"))
    seen = {
        (form, name): paired_effect(values)
        for form in FORMS
        for name, values in _probed_quantities(probe, form).items()
    }
    outcomes = {
        (form, "outcome"): GAINS["tuned_loss"](_plain(grid, form, "none"), _plain(zero, form, "zero")) for form in FORMS
    }
    return seen | outcomes


@dataclass(frozen=True)
class Probed:
    """The probed runs of one arm, a row per seed, seeds ascending; ``length`` is the warmup's."""

    runs: pd.DataFrame
    length: int
    lr: float

    @classmethod
    def of(cls, probe: pd.DataFrame, arm: str) -> Self:
        """Those runs of the part "probe" that belong to ``arm``."""
        rows = where(probe, arm=arm).sort_values("seed")
        return cls(rows, int(rows["length"].iloc[0]), float(rows["lr"].iloc[0]))

    def values(self, name: str) -> NDArray[np.float64]:
        """A probe's values, [S, T]: seeds by updates 1..T."""
        return np.stack(self.runs[name].to_list()).astype(float)


def _probed_quantities(probe: pd.DataFrame, form: str) -> dict[str, NDArray[np.float64]]:
    """By name, one value per seed [S]. Lengths are over that of the first batch gradient; no direction counts as 0."""
    none, zero, ramp = (Probed.of(probe, f"{form}/{warmup}") for warmup in ("none", "zero", "ramp"))
    gradient = none.values("update_norm")[:, 0]  # the first step without warmup: the rate times the first gradient
    scale = gradient if form == "momentum_lr_inside" else gradient / none.lr  # the other form's velocity lacks the rate
    after_ramp, after_zero = (
        np.nan_to_num(arm.values("velocity_alignment")[:, zero.length - 1]) for arm in (ramp, zero)
    )
    return {
        "velocity": zero.values("velocity_norm")[:, : zero.length].max(1) / scale,
        "first step": zero.values("update_norm")[:, zero.length] / gradient,
        "direction after zero": after_zero,
        "direction after ramp": after_ramp,
    }


def _name(key: tuple[str, str]) -> str:
    form, quantity = key
    return f"{'difference in outcome' if quantity == 'outcome' else quantity} ({FORM_NAMES[form]})"


CLAIMS = {"momentum-zero": lambda runs: named(form_effects(runs), _name)}
