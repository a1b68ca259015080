"""What a trained model keeps of its old classes when it meets new ones."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from warmup_study.claims.evidence import by_base_task
from warmup_study.statistics.bootstrap import Effect, paired_effect

NEW_LOSS = 1.0  # nats on the new classes at which deviations are compared: well below guessing among five

Effects = Mapping[str, Effect]


def deviations(runs: pd.DataFrame) -> dict[str, Effects | None]:
    """Per task: loss on the old classes where that on the new ones reaches NEW_LOSS, with a warmup less without.

    Mean over the rates at which every run of all arms reaches it; None where there is no such rate.
    """
    return by_base_task(runs, ("new",), _deviations)


def _deviations(runs: pd.DataFrame) -> Effects | None:
    table = old_losses(runs)
    if table.empty:
        return None
    means = table.T.groupby("warmup").mean().T
    return {name: paired_effect(means[name] - means["none"]) for name in ("constant", "ramp")}


def old_losses(runs: pd.DataFrame) -> pd.DataFrame:
    """One task's loss on the old classes where that on the new ones reaches NEW_LOSS: seeds x (warmup, rate).

    Only rates at which every run reaches it.
    """
    chosen = runs[runs["part"] == "new"]
    crossing = chosen.assign(old=[_old_loss_at(run, NEW_LOSS) for _, run in chosen.iterrows()])
    table = crossing.pivot(index="seed", columns=["warmup", "lr"], values="old")
    reached = table.notna().all().groupby("lr").all()
    return table.loc[:, table.columns.get_level_values("lr").isin(reached.index[reached])]


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean loss on the old classes at NEW_LOSS as a table: a row per task and learning rate, a column per warmup."""
    chosen = runs[runs["part"] == "new"]
    losses = {str(task): old_losses(rows).mean().unstack("warmup") for task, rows in chosen.groupby("task", sort=False)}
    return pd.concat(losses, names=["task", "lr"]).reset_index()


def _old_loss_at(run: pd.Series, level: float) -> float:
    """Old loss when the new loss first falls to the level, between two probes; NaN where it never does."""
    new, old = np.asarray(run["inside_loss"], dtype=float), np.asarray(run["outside_loss"], dtype=float)
    below = np.flatnonzero(new <= level)
    if not below.size or not np.isfinite(old[: below[0] + 1]).all():
        return np.nan
    last = int(below[0])
    if last == 0:
        return float(old[0])
    share = (new[last - 1] - level) / (new[last - 1] - new[last])
    return float(old[last - 1] + share * (old[last] - old[last - 1]))
