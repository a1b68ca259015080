"""The engine's speed: beside its peers on each workload, and as the number of runs grows."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from warmup_study.presentation.canvas import Words, figure_maker
from warmup_study.presentation.facets import facets
from warmup_study.presentation.intervals import name_rows
from warmup_study.presentation.style import ADAM, INK, OPTIMIZERS

_LOOKS = {
    "torch.optim loops": (INK, "s"),
    "JAX, one process": (OPTIMIZERS["momentum"].colour, "v"),
    "JAX, a process per core": (OPTIMIZERS["sgd"].colour, "^"),
    "ensemble": (ADAM, "o"),
}
_DEVICES = {"cpu": (ADAM, "o"), "cuda": (OPTIMIZERS["radam"].colour, "D")}


@figure_maker
def speed(content: Mapping[str, Any]) -> tuple[Figure, Words]:
    """From the content of bench.json: rates as multiples of the ordinary loops, and runs a minute."""
    panels = facets([""], range(2), (4.2, 3.0), sharey=False, width_ratios=(3, 2))
    beside, among = panels.axes[0]
    _peers(beside, content["table"])
    for device, rows in content["scaling"].items():
        colour, marker = _DEVICES[device]
        runs, rates = ([row[key] for row in rows] for key in ("runs", "runs_per_minute"))
        among.plot(runs, rates, color=colour, marker=marker)
        if len(content["scaling"]) > 1:
            among.annotate(f"{device} ", (runs[-1], rates[-1]), color=colour, va="bottom", ha="right")
    among.set(xscale="log", yscale="log", xlabel="runs in one sweep", ylabel="runs a minute")
    machine = content["machine"]
    return panels.figure, Words(
        "How fast is the engine?",
        "Left: for each of five workloads, the rate of updates of the engine and of JAX as a multiple of ordinary "
        "training loops. Right: runs a minute against the number of runs in a sweep, from ten to ten thousand.",
        f"Medians of {content['rounds']} interleaved rounds on {machine['cores']} cores ({machine['cpu']}), Adam, "
        f"batches as in the study: {_batches(content['table'])}. Left, dotted: what batched matrix products alone "
        "would allow. Right: start-up of processes and compilation included, which many runs share.",
    )


def _batches(table: Sequence[Mapping[str, Any]]) -> str:
    """Sizes of the batches, each with the networks that are trained with it."""
    titles: dict[int, list[str]] = {}
    for row in table:
        titles.setdefault(row["batch"], []).append(row["workload"])
    return "; ".join(f"{batch} ({', '.join(of)})" for batch, of in titles.items())


def _peers(axes: Axes, table: list[dict[str, Any]]) -> None:
    """A row for each workload, a mark for each contender; the floor's rate as a dotted tick."""
    for place, row in enumerate(table):
        rates = row["updates_per_second"]
        loops = rates["torch.optim loops"]
        for name, rate in rates.items():
            colour, marker = _LOOKS[name]
            axes.plot(rate / loops, place, color=colour, marker=marker, ls="", label=name if place == 0 else None)
        axes.plot([row["over_loops"] / row["of_floor"]] * 2, [place - 0.3, place + 0.3], color=INK, ls=":")
    name_rows(axes, [row["workload"] for row in table])
    axes.set(xscale="log", xlabel="updates per second, as a multiple of the loops")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
