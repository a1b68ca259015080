"""Effects on streams that begin with a cluster: the gap that it leaves, and the epochs that it takes to unlearn."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.claims.evidence import by_base_task
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect, paired_effect, pooled

HALFWAY = 0.5  # the target is the loss that an ordinary stream reaches at this share of the run

Effects = Mapping[str, Effect]


def gaps(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column ``gap``: at each probed update, test loss outside the cluster less that inside it."""
    found = [
        np.subtract(outside, inside, dtype=float)
        for outside, inside in zip(runs["outside_loss"], runs["inside_loss"], strict=True)
    ]
    return runs.assign(gap=pd.Series(found, index=runs.index, dtype=object))


def gap_differences(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: difference of the gap, ramp minus none, at the end of the run and of the ramp, by cluster and over all.

    Mean over the learning rates; seeds of which a run diverged are left out. None where fewer than two are left.
    """
    return by_base_task(runs, ("skewed",), _gap_differences)


def _gap_differences(runs: pd.DataFrame) -> Effects | None:
    tables = {
        f"{when}, {cluster}{beside}": _gap_table(rows, warmup, when)
        for cluster, rows in gaps(runs[runs["skew"] > 0]).groupby("cluster", sort=False)
        for warmup, beside in (("ramp", ""), ("constant", ", constant"))
        for when in ("end of run", "end of ramp")
    }
    shared = pd.concat(tables, axis=1).dropna()
    if len(shared) < 2:
        return None
    effects = {name: paired_effect(shared[name]) for name in tables}
    whole = {
        when: pooled([effects[name] for name in tables if name.startswith(when) and not name.endswith("constant")])
        for when in ("end of run", "end of ramp")
    }
    return whole | effects


def _gap_table(runs: pd.DataFrame, warmup: str, when: str) -> pd.Series:
    """Difference of the gap to training without warmup, by seed, averaged over the rates; NaN where a run diverged."""
    ramp = int(runs["length"].max())
    at = -1 if when == "end of run" else list(runs["probed_at"].iloc[0]).index(ramp)
    values = runs.assign(value=[gap[at] for gap in runs["gap"]])
    table = values.pivot_table(index="seed", columns=["warmup", "lr"], values="value", dropna=False)
    change = pd.DataFrame({lr: table[warmup, lr] - table["none", lr] for lr in runs["lr"].unique()})
    return change.mean(axis=1, skipna=False)


def with_epochs_to_target(runs: pd.DataFrame) -> pd.DataFrame:
    """The skewed runs with a column ``epochs``: how many it takes to the target; the run's length where it never is.

    The target belongs to a task and a rate: the median validation loss that runs without warmup on the ordinary stream
    have halfway through.
    """
    groups = runs[runs["part"] == "skewed"].groupby(["task", "lr"], sort=False)
    return pd.concat([_with_epochs(rows) for _, rows in groups]) if len(groups) else runs.assign(epochs=np.nan)[:0]


def _with_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    control = runs[(runs["skew"] == 0) & (runs["warmup"] == "none")]
    curves = np.stack(control["validation_curve"].to_list())
    target = float(np.nanmedian(curves[:, int(HALFWAY * (curves.shape[1] - 1))]))
    steps = [
        endpoints.steps_to_target(run["evaluated_at"], run["validation_curve"], target) for _, run in runs.iterrows()
    ]
    censored = pd.Series(steps, index=runs.index, dtype=float)
    return runs.assign(
        target=target,
        reached=censored.notna(),
        epochs=censored.fillna(runs["updates"].astype(float)) * runs["batch"] / runs["examples"].astype(float),
    )


def extra_epochs(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: epochs to the target without warmup less those with the ramp, on skewed streams and, beside, ordinary.

    Mean over clusters and rates. None where no run without warmup reaches the target on the ordinary stream.
    """
    return by_base_task(runs, ("skewed",), _extra_epochs)


def _extra_epochs(runs: pd.DataFrame) -> Effects | None:
    timed = with_epochs_to_target(runs)
    skewed, ordinary = timed[timed["skew"] > 0], timed[timed["skew"] == 0]
    if not ordinary.loc[ordinary["warmup"] == "none", "reached"].any():
        return None
    found = {"skewed": paired_effect(_epochs_saved(skewed)), "ordinary": paired_effect(_epochs_saved(ordinary))}
    for cluster, rows in skewed.groupby("cluster", sort=False):
        found[f"skewed, {cluster}"] = paired_effect(_epochs_saved(rows))
    return found


def _epochs_saved(runs: pd.DataFrame) -> pd.Series:
    mean = runs.groupby(["seed", "warmup"])["epochs"].mean().unstack()
    return mean["none"] - mean["ramp"]
