"""What the tenth chapter's claim rests on, as functions of its table of runs alone."""

from collections.abc import Iterator, Mapping

import pandas as pd

from warmup_study import theory
from warmup_study.chapters import core_grid
from warmup_study.chapters.core_curves import (
    ABOVE,
    BEST,
    LABELS,
    LARGEST,
    SHARE,
    USABLE,
    Arms,
    Cells,
    by_task,
    cells,
    counts,
    gain,
)
from warmup_study.chapters.new_optimisers.design import ADAM, CONTROL, NEWER, OPTIMIZERS, WARMUPS
from warmup_study.claims.evidence import Outcome, untrainable
from warmup_study.statistics.bootstrap import Effect, difference
from warmup_study.training.optimizers import Optimizer

PLACES = (USABLE, ABOVE, BEST, LARGEST, SHARE)  # the first two decide
NAMES = LABELS | {"signsgd": "signSGD"}
"""What a sentence calls the optimisers."""
WARMED = {"ramp": "", "momentum": " from a ramp of the momentum"}
"""What the name of a gain says of the warmup."""
GRADIENTS = (4.0, 1.0, -2.0)  # of the toy's one weight


def compared(runs: pd.DataFrame) -> Cells:
    """The curves of every optimiser on every task, Adam's among them, by warmup."""
    return cells(runs, (*OPTIMIZERS, ADAM), WARMUPS, ("grid", core_grid.PART))


def effects(found: Cells) -> dict[str, Outcome[str]]:
    """Per task that each of the newer optimisers trains: what either ramp gains it, and how that compares with Adam.

    Adagrad's gains and Adam's stand beside where these optimisers train the task.
    """
    return {task: _effects(arms) for task, arms in by_task(found).items()}


def _effects(arms: Mapping[str, Arms]) -> Outcome[str]:
    if not set(NEWER) <= set(arms):
        return None
    for name in NEWER:
        if not counts(arms[name]):
            return untrainable(NAMES[name])
    trained = {name: mine for name, mine in arms.items() if counts(mine)}
    return dict(_named(trained))


def _named(trained: Mapping[str, Arms]) -> Iterator[tuple[str, Effect]]:
    for place in PLACES:
        for name, arms in trained.items():
            for warmup in (warmup for warmup in WARMED if warmup in arms):
                yield gain_name(name, place, warmup), gain(arms, place, warmup)
            if name in NEWER and ADAM in trained:
                yield f"{NAMES[name]}'s gain less Adam's {place}", less_adam(trained, name, place)


def gain_name(optimizer: str, place: str, warmup: str = "ramp") -> str:
    """The name of what a warmup gains an optimiser."""
    return f"{NAMES[optimizer]}'s gain{WARMED[warmup]} {place}"


def less_adam(arms: Mapping[str, Arms], optimizer: str, place: str) -> Effect:
    """What the ramp gains an optimiser, less what it gains Adam on the same task from the same seeds."""
    return difference(gain(arms[optimizer], place), gain(arms[ADAM], place))


def by_hand(gradients: tuple[float, ...] = GRADIENTS) -> pd.DataFrame:
    """How far one weight moves at each of the first updates, in learning rates: a row for each optimiser."""
    rules = {name: Optimizer.model_validate({"name": name}) for name in ("sgd", ADAM, "lion", "signsgd", CONTROL)}
    rows = {NAMES[name]: theory.steps(rule, gradients) for name, rule in rules.items()}
    columns = [f"gradient {gradient:g}" for gradient in gradients]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


CLAIMS = {"new-optimisers": lambda runs: effects(compared(runs))}
