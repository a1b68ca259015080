"""Figures of the first chapter: loss against learning rate, gains with intervals, the first hundred updates."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from warmup_study import tasks, theory
from warmup_study.claims.table import margin
from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.curves import by_warmup, lr_panels
from warmup_study.presentation.facets import facets, legend
from warmup_study.presentation.intervals import Estimate, intervals
from warmup_study.presentation.style import ENDPOINTS, GUIDE, INK, OPTIMIZERS
from warmup_study.statistics.bootstrap import Effect
from warmup_study.training.optimizers import Optimizer

Gains = Mapping[str, Mapping[tuple[str, str], Effect]]


@figure_maker
def lr_curves(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Test loss against peak learning rate: a row per task, a column per optimiser, {no warmup, ramp} in each."""
    grid = runs[runs["part"] == "grid"]
    titles = {name: OPTIMIZERS[name].label for name in grid["optimizer"].unique()}
    panels = lr_panels(grid, "task", "optimizer", titles, (2.6, 2.8))
    seeds, lrs = grid["seed"].nunique(), grid.groupby("optimizer")["lr"].nunique().max()
    return panels.figure, Words(
        "Test loss against learning rate, with and without warmup",
        f"{len(titles)} columns of panels, one per optimiser ({', '.join(titles.values())}), a row per task. Each "
        "shows test loss falling and then rising with the peak learning rate, one curve without warmup and one under "
        "the ramp.",
        f"Thin lines: one seed each; thick lines: the median over n = {seeds} seeds at {lrs} learning rates, with "
        "momentum the effective ones. Open circles: no warmup; filled triangles: ramp. A run that diverged counts with "
        "the loss of an untrained network (dotted); hatched: at least half the seeds diverged (rising strokes: no "
        "warmup, falling ones: ramp).",
    )


@figure_maker
def gains(gains_by_task: Gains, seeds: int) -> tuple[Figure, Words]:
    """Gain of the ramp per endpoint, optimiser and task, with 95 % intervals and the margin shaded."""
    names = list(dict.fromkeys(endpoint for effects in gains_by_task.values() for _, endpoint in effects))
    rows = list(dict.fromkeys((task, optimizer) for task, effects in gains_by_task.items() for optimizer, _ in effects))
    labels = [f"{OPTIMIZERS[optimizer].label} · {task}" for task, optimizer in rows]
    titles = {name: ENDPOINTS[name][0] for name in names}
    panels = facets([""], titles, (10.4 / len(names), 0.28 * len(rows) + 1.3))
    for _, endpoint, axes in panels:
        estimates = [[Estimate(gains_by_task[task][o, endpoint], OPTIMIZERS[o].colour)] for task, o in rows]
        intervals(axes, estimates, labels, margin=margin(endpoint).value)
        axes.set_xlabel(ENDPOINTS[endpoint][1])
    return panels.figure, Words(
        "What the ramp gains, by optimiser and endpoint",
        f"Three panels of points with intervals, one row for each of {len(rows)} pairs of optimiser and task; points "
        "to the right of zero mean that the ramp does better than no warmup.",
        f"Gain of the ramp over no warmup, paired by seed (n = {seeds} in all, selection and confirmation seeds; the "
        "tuned loss is reported on the confirmation seeds alone), with 95 % bootstrap intervals; that of the largest "
        "trainable learning rate allows for the grid's step. Shaded: smaller than the smallest gain of interest.",
    )


@figure_maker
def first_updates(runs: pd.DataFrame, task: str) -> tuple[Figure, Words]:
    """Size of each of the first updates over its learning rate, against theory, and its alignment with descent."""
    probed = runs[(runs["part"] == "probe") & (runs["task"] == task)]
    rows = {"update_size": "size of update / learning rate", "alignment": "cosine with descent"}
    optimizers = {name: OPTIMIZERS[name].label for name in probed["optimizer"].unique()}
    panels = facets(rows, optimizers, (2.6, 2.6), x="update", sharex=True)
    for column, optimizer, axes in panels:
        seen, colour = probed[probed["optimizer"] == optimizer], OPTIMIZERS[optimizer].colour
        by_warmup(axes, seen, "probed_at", column, colour=colour, marker="")
        if column == "alignment":
            axes.axhline(0, **GUIDE)
            continue
        axes.set(xscale="log", yscale="log")
        rule, updates = Optimizer.model_validate({"name": optimizer}), seen["probed_at"].iloc[0]
        if rule.kernel == "adaptive":
            sizes = theory.noise_update_size(rule, int(updates[-1]))
            axes.plot(range(1, len(sizes) + 1), sizes, color="0.5", lw=1.2, ls=":", label="theory, pure noise")
    legend(panels.axes[0, -1])
    return panels.figure, Words(
        "The first updates: how large, and which way",
        "A column per optimiser. Above, the size of each update divided by its learning rate, on log axes: RMSProp "
        "starts near ten and falls, Adam starts at one. Below, the cosine between the update and the descent "
        "direction of the whole training set.",
        f"{tasks.load(task).title}; thin lines: one of n = {probed['seed'].nunique()} seeds; thick: the median. Size "
        "is the root mean square over parameters. Dotted: what theory predicts where gradients are nothing but noise. "
        "The learning rate is divided out, so the ramp acts only through where it has led.",
    )


@figure_maker
def realised_lr(runs: pd.DataFrame) -> tuple[Figure, Words]:
    """Realised learning rate over its peak as the engine logged it: a column per warmup, a row per decay."""
    audit = runs[runs["part"] == "audit"].drop_duplicates("arm")
    decays = {decay: f"{decay.replace('_', ' ')}\nlr / peak" for decay in audit["decay"].unique()}
    warmups = list(audit["warmup"].unique())
    size = (10.4 / len(warmups), 4.4 / len(decays))
    panels = facets(decays, warmups, size, x="update", sharex=True, sharey=True)
    for decay, warmup, axes in panels:
        for _, run in audit[(audit["decay"] == decay) & (audit["warmup"] == warmup)].iterrows():
            updates, shares = np.asarray(run["evaluated_at"])[1:], np.asarray(run["realised_lr"])[1:] / run["lr"]
            axes.plot(updates, shares, color=INK, lw=0.8, alpha=0.5)
            axes.plot(updates[::5], shares[::5], ".", color=INK, markersize=4)
    return panels.figure, Words(
        "The learning rates that updates were really taken at",
        f"A grid of small panels, {len(warmups)} warmups across and {len(decays)} decays down; in each the learning "
        "rate rises as its warmup says and then stays at its peak or decays.",
        f"As logged by the engine at each of {len(audit['evaluated_at'].iloc[0]) - 1} updates, as a share of the peak "
        "learning rate. Columns: the warmup; rows: what follows it.",
    )
