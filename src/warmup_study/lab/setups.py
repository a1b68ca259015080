"""What the lab trains: one setup from many seeds, in memory, and the bands that its runs make."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.lab.parameters import OFFERED, Setup
from warmup_study.presentation.formatting import number
from warmup_study.presentation.style import OPTIMIZERS, WARMUPS
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import SETTINGS, Optimizer
from warmup_study.training.probes import KERNEL_OF, ProbeName
from warmup_study.training.schedules import Schedule
from warmup_study.training.table import to_frame
from warmup_study.training.trainer import train_chunk

Floats = NDArray[np.float64]
Band = tuple[Floats, Floats, Floats]

FIRST_SEED = 4_000  # no chapter's seeds
CEILING = 10.0  # times the loss of an untrained network: where curves are cut off, and diverged ones put
EVALUATIONS, SIZES, GLANCES = 40, 30, 7  # how often, at most, a run is evaluated, its steps are measured, it is probed
PROBED_SEEDS = 5  # curvature takes longer than the training itself
SHARES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Seen:
    """The runs of one setup: ``loss`` [S, E] and ``rate`` [E] at ``evaluated``, ``size`` [S, Q] at
    ``probed``, and of each run its final ``error`` [S] and whether it ``diverged`` [S].
    """

    setup: Setup
    evaluated: Floats
    loss: Floats
    rate: Floats
    probed: Floats
    size: Floats
    error: Floats
    diverged: NDArray[np.bool_]

    @property
    def untrained(self) -> float:
        """Median loss of the initial weights."""
        return float(np.median(self.loss[:, 0]))

    @property
    def band(self) -> Band:
        """10, 50 and 90 % of the loss over seeds; a diverged run counts as far above any other."""
        ceiling = CEILING * self.untrained
        return quantiles(np.minimum(np.nan_to_num(self.loss, nan=ceiling), ceiling))


@dataclass(frozen=True)
class Glance:
    """One probe of the first few seeds: ``values`` [S, Q] at the updates ``probed``, NaN where it has none."""

    probed: Floats
    values: Floats


def rule(setup: Setup) -> Optimizer:
    """The setup's optimiser, with those of the setup's numbers that it takes."""
    numbers = ("momentum", "beta1", "beta2")
    taken = {name: getattr(setup, name) for name in numbers if name in SETTINGS[setup.optimizer]}
    return Optimizer.model_validate({"name": setup.optimizer} | taken)


def experiment(setup: Setup, seeds: int, probes: Sequence[ProbeName], points: int) -> Experiment:
    """The setup as an experiment of one arm, probed at so many updates, the first ones among them."""
    length = 0 if setup.warmup == "none" else setup.length
    schedule = Schedule(warmup=setup.warmup, length=length, decay=setup.decay)
    spread = np.unique(np.rint(np.linspace(1, setup.updates, points)).astype(int))
    first = range(2, min(points // 3, setup.updates) + 1)  # the updates that warmup is about
    return Experiment(
        part="lab",
        task=setup.task,
        arms=(Arm(label="lab", optimizer=rule(setup), schedule=schedule),),
        lrs=(setup.lr,),
        seeds=tuple(range(FIRST_SEED, FIRST_SEED + seeds)),
        updates=setup.updates,
        batch=tasks.load(setup.task).batch,
        evaluate_every=max(1, setup.updates // EVALUATIONS),
        probed=tuple(sorted({*map(int, spread), *first})),
        probes=tuple(probes),
    )


def _trained(planned: Experiment) -> pd.DataFrame:
    return to_frame(pa.concat_tables([train_chunk(chunk) for chunk in planned.chunks()]))


def _rows(runs: pd.DataFrame, column: str) -> Floats:
    return np.stack(runs[column].to_list()).astype(float)


@lru_cache(maxsize=64)
def see(setup: Setup) -> Seen:
    """Train the setup from all its seeds, here and now; what was trained in this session is kept."""
    runs = _trained(experiment(setup, setup.seeds, ("update_size",), SIZES))
    return Seen(
        setup,
        evaluated=_rows(runs, "evaluated_at")[0],
        loss=_rows(runs, "validation_curve"),
        rate=_rows(runs, "realised_lr")[0],
        probed=_rows(runs, "probed_at")[0],
        size=_rows(runs, "update_size"),
        error=runs["validation_error"].to_numpy(dtype=float),
        diverged=(runs["status"] == "diverged").to_numpy(dtype=bool),
    )


@lru_cache(maxsize=64)
def glance(setup: Setup, probe: str) -> Glance:
    """Probe the setup's first few seeds. Raises ``StudyError`` where there is nothing for the probe to see."""
    shown, needed = probe.replace("_", " "), KERNEL_OF.get(probe, rule(setup).kernel)
    if probe not in OFFERED:
        raise StudyError(f"probe: got {probe!r}; the lab takes one of {', '.join(OFFERED)}")
    if rule(setup).kernel != needed:
        kind = {"momentum": "SGD and its variants", "adaptive": "adaptive optimisers"}[needed]
        raise StudyError(f"{shown}: got {setup.optimizer}; takes {kind}")
    planned = experiment(setup, min(PROBED_SEEDS, setup.seeds), (probe,), GLANCES)
    runs = _trained(planned)
    values = _rows(runs, probe)
    if not np.isfinite(values).any():
        raise StudyError(f"{shown}: no values on {setup.task}")
    return Glance(_rows(runs, "probed_at")[0], values)


def quantiles(rows: ArrayLike) -> Band:
    """10, 50 and 90 % down the columns of ``rows`` [S, K]; NaN, and a column of nothing else, does not count."""
    values = np.asarray(rows, dtype=float)
    seen = np.isfinite(values).any(0)
    band = np.full((len(SHARES), values.shape[1]), np.nan)
    band[:, seen] = np.nanquantile(values[:, seen], SHARES, axis=0)
    low, middle, high = band
    return low, middle, high


def names(setups: Sequence[Setup]) -> list[str]:
    """What each of the setups shown together is called: optimiser, warmup, peak rate, and whatever else differs."""
    differing = [field for field in _WORDS if len({getattr(setup, field) for setup in setups}) > 1]
    return [" · ".join([*_always(setup), *_also(setup, differing)]) for setup in setups]


_WORDS = {
    "momentum": "μ = {}",
    "beta1": "β₁ = {}",
    "beta2": "β₂ = {}",
    "decay": "{} decay",
    "task": "{}",
    "updates": "{} updates",
    "seeds": "{} seeds",
}


def _always(setup: Setup) -> tuple[str, str, str]:
    warmup = WARMUPS[setup.warmup].label
    length = "" if setup.warmup == "none" else f" {setup.length}" if setup.warmup == "ramp" else f" at {setup.length}"
    return OPTIMIZERS[setup.optimizer].label, f"{warmup}{length}", f"lr {number(setup.lr)}"


def _also(setup: Setup, fields: Sequence[str]) -> list[str]:
    """Words for the fields that this setup's optimiser uses."""
    idle = {"momentum", "beta1", "beta2"} - set(SETTINGS[setup.optimizer])
    values = {field: str(getattr(setup, field)).replace("inverse_sqrt", "1/√i") for field in fields}
    shown = {field: value for field, value in values.items() if field not in idle}
    return [_WORDS[field].format(value).replace("constant decay", "no decay") for field, value in shown.items()]


def summary(shown: Sequence[Seen], labels: Sequence[str]) -> pd.DataFrame:
    """One row for each setup: its final validation loss and error, and how many seeds end lower than the last's."""
    return pd.DataFrame([_ended(seen, shown[-1]) for seen in shown], index=pd.Index(labels, name="setup"))


def _ended(seen: Seen, current: Seen) -> dict[str, str]:
    low, middle, high = (float(part[-1]) for part in seen.band)
    paired = min(len(seen.loss), len(current.loss))
    comparable = seen is not current and seen.setup.task == current.setup.task
    mine, now = (_final(each)[:paired] for each in (seen, current))
    return {
        "final loss (10th to 90th percentile)": f"{number(middle)} ({number(low)} to {number(high)})",
        "error": f"{100 * float(np.median(seen.error)):.1f} %" if np.isfinite(np.median(seen.error)) else "–",
        "diverged": f"{int(seen.diverged.sum())} of {len(seen.loss)}",
        "current setup lower on": f"{int((now < mine).sum())} of {paired} seeds" if comparable else "",
    }


def _final(seen: Seen) -> Floats:
    return np.nan_to_num(seen.loss[:, -1], nan=np.inf)
