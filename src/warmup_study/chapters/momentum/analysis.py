"""What the third chapter's claims rest on, as functions of its table of runs alone, and the sentences that tell it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from warmup_study import theory
from warmup_study.chapters import core_grid
from warmup_study.chapters.core_curves import ABOVE, USABLE
from warmup_study.claims.evidence import ByTask, over_tasks, untrainable, where
from warmup_study.presentation.changes import compared_with_interval
from warmup_study.presentation.formatting import NO_BREAK, number
from warmup_study.presentation.formatting import effect as effect_in_words
from warmup_study.statistics import lr_curves
from warmup_study.statistics.bootstrap import Effect, difference, paired_effect, pooled
from warmup_study.statistics.lr_curves import LrCurves

FORMS = ("momentum", "momentum_lr_inside")
FORM_NAMES = dict(zip(FORMS, ("torch's form", "Sutskever's form"), strict=True))
BATCHED = {"sgd": "SGD", "momentum": "Momentum"}  # the optimisers that are compared over batch sizes
PLACES: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    USABLE: lr_curves.usable_lr,
    ABOVE: lr_curves.overshoot,
}
OUTCOMES: dict[str, Callable[[LrCurves, LrCurves], Effect]] = {
    "": lr_curves.tuned_loss,
    " above it": lr_curves.overshoot,
}
DIRECTION = "direction after a ramp less that after zero"

BatchGains = dict[tuple[int, str, str], Effect]  # by batch size, optimiser and place; a batch has both optimisers


def curves(runs: pd.DataFrame, arm: str, batch: int) -> LrCurves:
    """Losses over learning rates of one arm at one batch size; ``runs``: those of one task."""
    grids = runs[runs["part"].isin([core_grid.PART, "forms", "batch"])]
    return LrCurves.of(where(grids, arm=arm, batch=batch))


def usual_batch(runs: pd.DataFrame) -> int:
    """The batch size of a task's core grid."""
    return int(where(runs, part=core_grid.PART)["batch"].iloc[0])


def batch_gains(runs: pd.DataFrame) -> dict[str, BatchGains]:
    """Per task: what a ramp gains both optimisers at each batch size at which both train."""
    return {str(task): _batch_gains_of(rows) for task, rows in runs.groupby("task", sort=False)}


def _batch_gains_of(runs: pd.DataFrame) -> BatchGains:
    found: BatchGains = {}
    for batch in _batches(runs):
        pairs = {name: [curves(runs, f"{name}/{warmup}", batch) for warmup in ("none", "ramp")] for name in BATCHED}
        if all(lr_curves.trains(*pair) for pair in pairs.values()):
            found |= {(batch, name, place): PLACES[place](*pairs[name]) for name in BATCHED for place in PLACES}
    return found


def _batches(runs: pd.DataFrame) -> list[int]:
    return sorted({usual_batch(runs), *(int(size) for size in where(runs, part="batch")["batch"])})


def differences(gains: BatchGains, place: str) -> dict[int, Effect]:
    """By batch size: gain of SGD with momentum less gain of plain SGD."""
    sizes = sorted({batch for batch, _, _ in gains})
    return {size: difference(gains[size, "momentum", place], gains[size, "sgd", place]) for size in sizes}


def adaptive_effects(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: means over batch sizes of the gains and of their difference; those at each size stand beside."""
    return {task: _adaptive(gains) if gains else untrainable("SGD") for task, gains in batch_gains(runs).items()}


def _adaptive(gains: BatchGains) -> dict[str, Effect]:
    sizes = sorted({batch for batch, _, _ in gains})
    found: dict[str, Effect] = {}
    for place in PLACES:
        by_size = differences(gains, place)
        found[f"Momentum's gain less SGD's {place}"] = pooled(list(by_size.values()))
        for name, label in BATCHED.items():
            found[f"{label}'s gain {place}"] = pooled([gains[size, name, place] for size in sizes])
        for size, effect in by_size.items():
            found[f"batch {size}: Momentum's gain less SGD's {place}"] = effect
    return found


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

    def first_gradient(self) -> NDArray[np.float64]:
        """Length of the first batch gradient in the velocity's unit, [S], of an arm without warmup.

        Its first step is the learning rate times that gradient; the velocity of torch's form lacks the rate.
        """
        step = self.values("update_norm")[:, 0]
        return step if self.runs["optimizer"].iloc[0] == FORMS[1] else step / self.lr


def velocity_effects(runs: pd.DataFrame) -> ByTask[str]:
    """Per task and form: the longest velocity at lr = 0 in first gradients, and the first real step in first steps."""
    return _of_probes(runs, lambda probe: {k: v for form in FORMS for k, v in _velocity(probe, form).items()})


def _of_probes(
    runs: pd.DataFrame, measure: Callable[[pd.DataFrame], dict[str, Effect]]
) -> dict[str, dict[str, Effect]]:
    probe = where(runs, part="probe")
    return {str(task): measure(rows) for task, rows in probe.groupby("task", sort=False)}


def _velocity(probe: pd.DataFrame, form: str) -> dict[str, Effect]:
    none, zero = (Probed.of(probe, f"{form}/{warmup}") for warmup in ("none", "zero"))
    velocity = zero.values("velocity_norm")[:, : zero.length].max(1) / none.first_gradient()
    step = zero.values("update_norm")[:, zero.length] / none.values("update_norm")[:, 0]
    name = FORM_NAMES[form]
    return {f"velocity ({name})": paired_effect(velocity), f"first step ({name})": paired_effect(step)}


def directions(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """Per task: the velocity's cosine with descent after each warmup, by "zero (torch's form)" and the like.

    A velocity of 0 has no direction, and counts as a cosine of 0.
    """
    return _of_probes(
        runs,
        lambda probe: {
            f"{warmup} ({FORM_NAMES[form]})": paired_effect(_cosine(probe, form, warmup))
            for form in FORMS
            for warmup in ("zero", "ramp")
        },
    )


def _cosine(probe: pd.DataFrame, form: str, warmup: str) -> NDArray[np.float64]:
    seen = Probed.of(probe, f"{form}/{warmup}")
    return np.nan_to_num(seen.values("velocity_alignment")[:, seen.length - 1])


def like_none_effects(runs: pd.DataFrame) -> ByTask[str]:
    """Per task: outcome of lr = 0 with n updates more against none, in both forms, and the direction of the velocity.

    The direction is compared in torch's form, the one whose velocity has a direction after either warmup.
    """
    return {str(task): _like_none(rows) for task, rows in runs.groupby("task", sort=False)}


def _like_none(runs: pd.DataFrame) -> dict[str, Effect] | str:
    batch, probe = usual_batch(runs), where(runs, part="probe")
    found: dict[str, Effect] = {}
    for form, name in FORM_NAMES.items():
        none, zero = (curves(runs, f"{form}/{warmup}", batch) for warmup in ("none", "zero+n"))
        if not lr_curves.trains(none, zero):
            return untrainable("momentum")
        found |= {f"difference in outcome ({name}){place}": gain(none, zero) for place, gain in OUTCOMES.items()}
    ramp, zero_end = (_cosine(probe, FORMS[0], warmup) for warmup in ("ramp", "zero"))
    return found | {DIRECTION: paired_effect(ramp - zero_end)}


def say_velocity(runs: pd.DataFrame) -> str:
    """What the velocity holds after lr = 0, over all tasks, and where it points."""
    probe = where(runs, part="probe")
    limits = theory.gathered_velocity(float(probe["momentum"].iloc[0]), int(probe["length"].max()) + 1)
    seen = over_tasks(velocity_effects(runs)) | over_tasks(directions(runs))
    (outside, inside), words = FORM_NAMES.values(), {name: effect_in_words(effect) for name, effect in seen.items()}
    return (
        f"At learning rate 0 the velocity of {outside} grows to {words[f'velocity ({outside})']} first gradients, and "
        f"the first real step is {words[f'first step ({outside})']} times that of training without warmup; theory puts "
        f"it between {number(limits.noise[-1])}, where gradients are noise, and {number(limits.steady[-1])}, where all "
        f"are equal. The velocity of {inside} stays at {number(seen[f'velocity ({inside})'].estimate)}, and the first "
        f"real step is {words[f'first step ({inside})']} times as long. The velocity's cosine with the way downhill is "
        f"{words[f'zero ({outside})']} after learning rate 0 and {words[f'ramp ({outside})']} after the ramp in "
        f"{outside}; in {inside} it is {words[f'ramp ({inside})']} after the ramp, and there is none after learning "
        "rate 0."
    )


def say_outcomes(runs: pd.DataFrame) -> str:
    """What lr = 0 does to the loss once its lost updates are made up for, over all tasks, form by form."""
    found = over_tasks(like_none_effects(runs))
    if not found:
        return "Momentum trains none of these tasks, so that there is no outcome to compare."
    told = [
        f"In {name}, the loss after learning rate 0 is {compared_with_interval(best)} than without warmup where each "
        "has its best learning rate, and at twice the rate that is best without warmup "
        f"{compared_with_interval(above)}."
        for name in FORM_NAMES.values()
        for best, above in [tuple(found[f"difference in outcome ({name}){place}"] for place in OUTCOMES)]
    ]
    return " ".join(told)


def say_adaptive(runs: pd.DataFrame) -> str:
    """What a ramp gains SGD without and with momentum, over all tasks and batch sizes."""
    found = over_tasks(adaptive_effects(runs))
    if not found:
        return "Plain SGD trains none of these tasks, so that there is nothing to compare."
    usable = {name: f"{effect_in_words(found[f'{label} {USABLE}'])}{NO_BREAK}decades" for name, label in _GAINS.items()}
    above = {name: compared_with_interval(found[f"{label} {ABOVE}"]) for name, label in _GAINS.items()}
    return (
        f"A ramp changes the usable learning rates by {usable['sgd']} for plain SGD and by {usable['momentum']} for "
        f"SGD with momentum; the difference is {usable['difference']}. At twice the best rate the ramp's loss is "
        f"{above['sgd']} than without warmup for plain SGD and {above['momentum']} for SGD with momentum; "
        f"with momentum the ratio of the two is {above['difference']} than with plain SGD."
    )


_GAINS = {"sgd": "SGD's gain", "momentum": "Momentum's gain", "difference": "Momentum's gain less SGD's"}

CLAIMS = {
    "momentum-adaptive": adaptive_effects,
    "momentum-zero": velocity_effects,
    "like-none": like_none_effects,
}
