"""Design of the fifth chapter: nets with and without attention, with and without norms, and warmup before a decay."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from warmup_study import tasks
from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket, Family, arm
from warmup_study.parameters import RunParameters
from warmup_study.tasks import text
from warmup_study.tasks.networks import WIDTH
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Decay, Schedule

PARTS = {
    "grid": "nets that differ in one thing, over a grid from where all train to where hardly any does",
    "watch": "attention and the layers' gradients over the first updates",
    "decay": "with and without a ramp under every decay",
    "paper": "the Transformer paper's schedule as it is, and at the same peak without its ramp",
}
TOKEN_NETS = ("transformer", "mixer", "transformer-pre", "mixer-pre")
"""Each Transformer, and the same network without attention; post-LN, then pre-LN. Task names are ``<data>-<net>``."""
MLPS = ("he8", "he8-norm")
"""The same MLP without and with layer normalisation."""
DECAYS: tuple[Decay, ...] = ("constant", "cosine", "inverse_sqrt")
OPTIMIZERS: dict[Family, Optimizer] = {"adaptive": Optimizer(name="adam"), "sgd": Optimizer(name="sgd")}
SHORT = 4  # the short ramp is a quarter as long as the ramp
PAPER = Optimizer(name="adam", beta2=0.98, eps=1e-9)
PROBED_LR = 0.03  # where post-LN begins to need a ramp
PROBED = (1, 2, 4, 8, 16, 32, 64)  # few: each takes the gradient over all examples
GRADIENTS = ("gradient_embedding", "gradient_first_block", "gradient_last_block", "gradient_head")
DECAYED_TASKS = ("digits-he8", "mnist1d-conv", "digits-transformer", "text-transformer")
COMPARED: dict[Family, Bracket] = {"adaptive": (3.2e-3, 1e0), "sgd": (3.2e-2, 3.2e0)}
"""From a learning rate at which all nets train to one at which hardly any does, so that no net's edge is left out."""
DECAYED: dict[Family, Bracket] = {"adaptive": (3.2e-3, 3.2e-1), "sgd": (3.2e-2, 3.2e0)}
"""Of the tasks under decay: one learning rate is picked, so the bracket need only hold the best. Both are narrower than
the tasks' own, and were found in trials on other seeds."""


class Parameters(RunParameters):
    """What the notebook takes. ``task`` names where warmup meets decay; attention has pairs of its own."""


class Sizes(design.RunSizes):
    """How large the chapter is.

    ``data`` are the data sets on which nets with and without attention are compared, ``mlp_data`` those on which MLPs
    with and without normalisation are; on ``sgd_data`` plain SGD trains them, too. On ``tasks`` warmup meets decay,
    with plain SGD, too, on ``sgd_tasks``. ``paper`` is the task of the Transformer paper's schedule, ``lengths`` its
    warmups in updates. Nets on tokens have their ``own`` lengths, as their updates cost ten times as much.
    """

    data: tuple[str, ...]
    mlp_data: tuple[str, ...]
    sgd_data: tuple[str, ...] = ()
    sgd_tasks: tuple[str, ...] = ()
    paper: str = "digits-transformer"
    lengths: tuple[int, ...]
    probed_seeds: int


def _on_tokens(**sizes: int) -> dict[str, dict[str, int]]:
    return {f"{data}-{net}": sizes for data in ("digits", "mnist1d", "text") for net in TOKEN_NETS}


SIZES = Sizes.by_preset(
    data={"smoke": ("digits",), "quick": ("digits",), "full": ("digits", "mnist1d", "text")},
    mlp_data={"smoke": ("digits",), "quick": ("digits",), "full": ("digits", "mnist1d")},
    sgd_data={"full": ("digits",)},
    tasks={"smoke": ("digits-he8",), "quick": ("digits-he8",), "full": DECAYED_TASKS},
    sgd_tasks={"smoke": ("digits-he8",), "full": ("digits-he8", "mnist1d-conv")},
    lengths={"smoke": (2, 4), "quick": (5, 15, 40), "full": (5, 10, 20, 40, 80)},
    updates={"smoke": 12, "quick": 80, "full": 120},
    warmup={"smoke": 4, "quick": 16, "full": 24},
    own={
        "smoke": _on_tokens(updates=6, warmup=4),
        "quick": _on_tokens(updates=40, warmup=8),
        "full": _on_tokens(updates=112, warmup=20),
    },
    points_per_decade={"smoke": 1, "quick": 2, "full": 2},
    selection_seeds={"smoke": 2, "quick": 3, "full": 4},
    confirmation_seeds={"smoke": 2, "quick": 5, "full": 20},
    probed_seeds={"smoke": 2, "quick": 5, "full": 8},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The nets that are compared over their grids, attention update by update, warmup under every decay, the paper."""
    sizes, asked = SIZES[parameters.preset], parameters.task_names
    nets = [f"{data}-{net}" for data in sizes.data for net in TOKEN_NETS]
    nets += [f"{data}-{net}" for data in sizes.mlp_data for net in MLPS]
    for task in _had(nets):
        yield _Design.on(task, parameters, sizes).compared("adaptive")
        if task.partition("-")[0] in sizes.sgd_data:
            yield _Design.on(task, parameters, sizes).compared("sgd")
    for net in ("transformer", "transformer-pre"):
        yield _Design.on(f"{sizes.data[0]}-{net}", parameters, sizes).watched()
    for task in asked or _had(sizes.tasks):
        yield _Design.on(task, parameters, sizes).decayed("adaptive")
        if asked or task in sizes.sgd_tasks:
            yield _Design.on(task, parameters, sizes).decayed("sgd")
    yield _Design.on(sizes.paper, parameters, sizes).paper()


def not_run(parameters: Parameters) -> str:
    """Why the text that the preset calls for could not be trained on, in one line; empty where it was, or is not."""
    sizes = SIZES[parameters.preset]
    wanted = "text" in sizes.data or any(task.startswith("text-") for task in sizes.tasks)
    return text.missing() if wanted else ""


def weight_counts(runs: pd.DataFrame) -> pd.DataFrame:
    """The nets that were compared on tokens, and their numbers of weights: a row per data set, a column per net."""
    counts: dict[str, dict[str, int]] = {}
    for task in runs.loc[runs["part"] == "grid", "task"].unique():
        data, _, net = task.partition("-")
        if net in TOKEN_NETS:
            counts.setdefault(data, {})[net] = sum(part.numel() for part in tasks.load(task).model().parameters())
    return pd.DataFrame(counts).T.rename_axis("data").reset_index()


def _had(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the tasks whose data can be had."""
    return tuple(name for name in names if not (name.startswith("text-") and text.missing()))


class _Design(design.Design):
    sizes: Sizes

    def schedule(self, warmup: str, length: int | None = None, **settings: Any) -> Schedule:
        if warmup == "short":
            return super().schedule("ramp", max(1, self.warmup // SHORT))
        return super().schedule(warmup, length, **settings)

    def compared(self, family: Family) -> Experiment:
        """Over a grid, of which nothing is picked."""
        optimizer = OPTIMIZERS[family]
        warmups = ("none", "ramp", "short") if family == "adaptive" else ("none", "ramp")
        return self.experiment(
            "grid", self.cross({optimizer.name: optimizer}, warmups), self.lrs(family, COMPARED[family])
        )

    def watched(self) -> Experiment:
        last = min(self.updates, PROBED[-1])
        return self.experiment(
            "watch",
            self.cross({"adam": Optimizer(name="adam")}, ("none", "ramp"), min(self.warmup, last)),
            PROBED_LR,
            updates=last,
            confirmation_seeds=self.confirmation_seeds[: self.sizes.probed_seeds],
            probed=tuple(update for update in PROBED if update <= last),
            probes=("attention_logit", "attention_entropy", *GRADIENTS),
        )

    def decayed(self, family: Family) -> Experiment:
        bracket = DECAYED[family] if self.task in DECAYED_TASKS else None
        return self.experiment(
            "decay",
            [one for decay in DECAYS for one in _pair(OPTIMIZERS[family], self.warmup, decay, decay)],
            self.lrs(family, bracket),
            selection_seeds=self.selection_seeds,
        )

    def paper(self) -> Experiment:
        """Its peak is (d n)^-1/2, for several n."""
        lengths = sorted({min(n, self.updates) for n in self.sizes.lengths})
        arms = [one for n in lengths for one in _pair(PAPER, n, "inverse_sqrt", str(n), lr_scale=n**-0.5)]
        return self.experiment("paper", arms, WIDTH**-0.5)


def _pair(optimizer: Optimizer, length: int, decay: Decay, label: str, **settings: float) -> Iterator[Arm]:
    """Without warmup and with a ramp; without, the decay starts where the ramp would have ended."""
    flat = Schedule(decay=decay, decay_from=length)
    ramp = Schedule(warmup="ramp", length=length, decay=decay)
    for warmup, schedule in {"none": flat, "ramp": ramp}.items():
        yield arm(f"{optimizer.name}/{warmup}/{label}", optimizer, schedule, **settings)
