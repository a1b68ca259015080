"""Effects on streams that begin with a cluster: the gap that it leaves, and the epochs that it takes to unlearn.

Every stream has a best learning rate of its own, the one with the lowest mean validation loss without warmup; "above
it" is the next of the grid, whose rates lie a factor of two apart. Every bootstrap resample picks anew.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from warmup_study.claims.evidence import untrainable
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, Floats, pooled, seed_effect
from warmup_study.statistics.curves import LrCurves, Seeds, drawn
from warmup_study.statistics.lr_curves import trains

TARGET_AT = 0.25  # of the run: what training without warmup on an ordinary stream has reached there is the target
CLUSTERS = {"class": "one class", "kmeans": "part of one class", "mark": "true marks"}
PLACES = {"at the best learning rate": 0, "above it": 1}  # steps of the grid above the best learning rate
ENDS = {"end of run": -1, "end of ramp": 0}
SMALL_STEPS = "equally small steps"

Effects = Mapping[str, Effect]


class Streams(NamedTuple):
    """Runs on one stream: those of each warmup, and the curve of loss against learning rate without any."""

    cluster: str
    runs: Mapping[str, pd.DataFrame]
    none: LrCurves

    @property
    def lr_above(self) -> float:
        """The learning rate above the best one."""
        return float(self.none.lrs[min(self.none.best + 1, len(self.none.lrs) - 1)])

    def averaged(self, table: Floats, steps: int, seeds: Seeds) -> Floats:
        """Mean of ``table`` [S, L] over each resample's seeds, at the rate above its own best one: [B]."""
        columns = np.minimum(self.none.picked(seeds) + steps, len(self.none.lrs) - 1)
        means = drawn(seeds, len(table)) @ table / seeds.shape[1]
        return np.asarray(np.take_along_axis(means, columns[:, None], axis=1)[:, 0])


def streams(runs: pd.DataFrame, *, skewed: bool = True) -> list[Streams]:
    """One task's streams that begin with a cluster, or its ordinary ones."""
    chosen = runs[(runs["skew"] > 0) if skewed else (runs["skew"] == 0)]
    return list(_streams(chosen))


def _streams(runs: pd.DataFrame) -> Iterator[Streams]:
    for cluster, rows in runs.groupby("cluster", sort=False):
        by_warmup = {str(warmup): arm for warmup, arm in rows.groupby("warmup", sort=False)}
        yield Streams(str(cluster), by_warmup, LrCurves.of(by_warmup["none"]))


def gaps(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column ``gap``: at each probed update, test loss outside the cluster less that inside it."""
    found = [
        np.subtract(outside, inside, dtype=float)
        for outside, inside in zip(runs["outside_loss"], runs["inside_loss"], strict=True)
    ]
    return runs.assign(gap=pd.Series(found, index=runs.index, dtype=object))


class Measured(NamedTuple):
    """An effect on the stream of one cluster, at one of `PLACES`."""

    cluster: str
    place: str
    effect: Effect


def gap_differences(runs: pd.DataFrame) -> Effects | str | None:
    """One task's differences of the gap in nats, `ramp` less `none`, at the end of the run and of the ramp.

    Means over clusters and places, and each by itself; beside them the same less equally small steps. A run that
    diverged has no gap, and its seed counts nowhere.
    """
    if not _trains(runs):
        return untrainable("Adam")
    chosen = streams(_of_finite_seeds(gaps(runs)))
    if not chosen or chosen[0].none.seeds < 2:
        return None
    run, ramp = (_gap_effects(chosen, when, "none") for when in ENDS.values())
    beside = {f"{name}, beside {SMALL_STEPS}": _gap_effects(chosen, when, "constant") for name, when in ENDS.items()}
    found = _means(run, "end of run") | {"end of ramp": _mean(ramp)} | {key: _mean(of) for key, of in beside.items()}
    return {f"difference in the gap ({name})": effect for name, effect in found.items()}


def _of_finite_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    finite = runs["gap"].map(lambda gap: bool(np.isfinite(gap).all()))
    return runs[runs.groupby("seed")["seed"].transform(lambda rows: finite[rows.index].all()).astype(bool)]


def _gap_effects(chosen: list[Streams], when: int, against: str) -> list[Measured]:
    """`ramp` less another warmup: at the end of the run (-1), or of the ramp (0)."""
    found = []
    for stream in chosen:
        ramp = stream.runs["ramp"]
        at = -1 if when else list(ramp["probed_at"].iloc[0]).index(int(ramp["length"].iloc[0]))
        difference = _table(ramp, "gap", at) - _table(stream.runs[against], "gap", at)
        found += _at_places(stream, difference)
    return found


def _table(runs: pd.DataFrame, column: str, at: int | None = None) -> Floats:
    """A column, or one of the numbers that it holds for each run: seeds x learning rates, both ascending."""
    values = runs[column] if at is None else runs[column].map(lambda numbers: float(numbers[at]))
    return runs.assign(value=values).pivot(index="seed", columns="lr", values="value").to_numpy(dtype=float)


def _at_places(stream: Streams, table: Floats) -> list[Measured]:
    return [
        Measured(
            stream.cluster,
            place,
            seed_effect(lambda seeds, steps=steps: stream.averaged(table, steps, seeds), len(table)),
        )
        for place, steps in PLACES.items()
    ]


def _mean(effects: list[Measured]) -> Effect:
    return pooled([found.effect for found in effects])


def _means(effects: list[Measured], name: str) -> dict[str, Effect]:
    """Mean over all, at each place, and on the streams of each cluster."""
    places = {place: [found for found in effects if found.place == place] for place in PLACES}
    clusters = {
        CLUSTERS[cluster]: [found for found in effects if found.cluster == cluster]
        for cluster in dict.fromkeys(found.cluster for found in effects)
    }
    return {name: _mean(effects)} | {f"{name}, {key}": _mean(found) for key, found in (places | clusters).items()}


def epochs_saved(runs: pd.DataFrame) -> Effects | str | None:
    """One task's epochs to the target without warmup less those with the ramp, on skewed and ordinary streams.

    Restricted means: a run that never gets there counts with its whole length, so that what is saved is at least what
    is said. Means over clusters and places, and each by itself.
    """
    if not _trains(runs):
        return untrainable("Adam")
    timed = with_epochs(runs)
    if timed["seed"].nunique() < 2:
        return None
    skewed, ordinary = (_saved(timed, skewed=kind) for kind in (True, False))
    beside = {key: effect for key, effect in _means(ordinary, "ordinary").items() if key.partition(", ")[2] in PLACES}
    found = _means(skewed, "skewed") | {"ordinary": _mean(ordinary)} | beside
    return {f"epochs saved ({name})": effect for name, effect in found.items()}


def _saved(timed: pd.DataFrame, *, skewed: bool) -> list[Measured]:
    found = []
    for stream in streams(timed, skewed=skewed):
        none, ramp = (_table(stream.runs[warmup], "epochs") for warmup in ("none", "ramp"))
        found += _at_places(stream, none - ramp)
    return found


def with_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    """The skewed runs with columns ``target``, ``reached`` and ``epochs``: how many each takes to the target.

    The run's length where it never is reached. The target belongs to a task and a learning rate: the median validation
    loss that runs without warmup on the ordinary stream have after a quarter of the run.
    """
    groups = runs[runs["part"] == "skewed"].groupby(["task", "lr"], sort=False)
    return pd.concat([_with_epochs(rows) for _, rows in groups])


def _with_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    ordinary = runs[(runs["skew"] == 0) & (runs["warmup"] == "none")]
    curves = np.stack(ordinary["validation_curve"].to_list())
    target = float(np.nanmedian(curves[:, round(TARGET_AT * (curves.shape[1] - 1))]))
    seen = zip(runs["evaluated_at"], runs["validation_curve"], strict=True)
    steps = [endpoints.steps_to_target(updates, curve, target) for updates, curve in seen]
    censored = pd.Series(steps, index=runs.index, dtype=float)
    updates = censored.fillna(runs["updates"].astype(float))
    return runs.assign(
        target=target,
        reached=censored.notna(),
        epochs=updates * runs["batch"].astype(float) / runs["examples"].astype(float),
    )


def share_reached(runs: pd.DataFrame) -> float:
    """Share of the runs without warmup on skewed streams, at their best rate and above it, that reach the target."""
    reached = [
        arm.loc[arm["lr"].between(stream.none.best_lr, stream.lr_above), "reached"]
        for _, rows in with_epochs(runs).groupby("task", sort=False)
        for stream in streams(rows)
        for arm in [stream.runs["none"]]
    ]
    return float(pd.concat(reached).mean())


def _trains(runs: pd.DataFrame) -> bool:
    """Whether the better of `none` and `ramp` ends below half its initial loss on every ordinary stream."""
    return all(trains(stream.none, LrCurves.of(stream.runs["ramp"])) for stream in streams(runs, skewed=False))
