"""Design of the fifth chapter: nets with and without attention, with and without norms, and warmup before a decay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from warmup_study import tasks
from warmup_study.chapters.sizes import Seeds, bracket, device_of, warmup_within
from warmup_study.parameters import GridParameters
from warmup_study.tasks import text
from warmup_study.tasks.networks import WIDTH
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Decay, Schedule

TOKEN_NETS = ("transformer", "mixer", "transformer-pre", "mixer-pre")
"""Each Transformer, and the same network without attention; post-LN, then pre-LN. Task names are ``<data>-<net>``."""
MLPS = ("he8", "he8-norm")
"""The same MLP without and with layer normalisation."""
DECAYS: tuple[Decay, ...] = ("constant", "cosine", "inverse_sqrt")
FAMILIES = {"adam": "adaptive", "sgd": "sgd"}
SHORT = 4  # the short ramp is a quarter as long as the ramp
PAPER = {"beta2": 0.98, "eps": 1e-9}  # Adam's settings in the Transformer paper
PROBED_LR = 0.03  # where post-LN begins to need a ramp
PROBED = (1, 2, 4, 8, 16, 32, 64)  # few: each takes the gradient over all examples


class Parameters(GridParameters):
    """What the notebook takes. ``task`` names where warmup meets decay; attention has pairs of its own."""


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is under one preset.

    ``data`` are the data sets on which nets with and without attention are compared, ``mlp_data`` those on which MLPs
    with and without normalisation are; on ``sgd_data`` plain SGD trains them, too. ``decayed`` are the tasks on which
    warmup meets decay, with plain SGD, too, on ``sgd_decayed``. ``paper`` is the task of the Transformer paper's
    schedule, ``lengths`` its warmups in updates. ``updates`` and ``warmup`` hold for MLPs and convolutions,
    ``token_updates`` and ``token_warmup`` for nets on tokens, whose updates cost ten times as much.
    """

    data: tuple[str, ...]
    mlp_data: tuple[str, ...]
    sgd_data: tuple[str, ...]
    decayed: tuple[str, ...]
    sgd_decayed: tuple[str, ...]
    paper: str
    lengths: tuple[int, ...]
    updates: int
    warmup: int
    token_updates: int
    token_warmup: int
    points_per_decade: int
    seeds: Seeds
    probed_seeds: int


SIZES = {
    "smoke": Sizes(
        data=("digits",),
        mlp_data=("digits",),
        sgd_data=(),
        decayed=("digits-he8",),
        sgd_decayed=("digits-he8",),
        paper="digits-transformer",
        lengths=(2, 4),
        updates=12,
        warmup=4,
        token_updates=6,
        token_warmup=4,
        points_per_decade=1,
        seeds=Seeds(2, 2),
        probed_seeds=2,
    ),
    "quick": Sizes(
        data=("digits",),
        mlp_data=("digits",),
        sgd_data=(),
        decayed=("digits-he8",),
        sgd_decayed=(),
        paper="digits-transformer",
        lengths=(5, 15, 40),
        updates=80,
        warmup=16,
        token_updates=40,
        token_warmup=8,
        points_per_decade=2,
        seeds=Seeds(3, 5),
        probed_seeds=5,
    ),
    "full": Sizes(
        data=("digits", "mnist1d", "text"),
        mlp_data=("digits", "mnist1d"),
        sgd_data=("digits",),
        decayed=("digits-he8", "mnist1d-conv", "digits-transformer", "text-transformer"),
        sgd_decayed=("digits-he8", "mnist1d-conv"),
        paper="digits-transformer",
        lengths=(5, 10, 20, 40, 80),
        updates=120,
        warmup=24,
        token_updates=112,
        token_warmup=20,
        points_per_decade=2,
        seeds=Seeds(4, 20),
        probed_seeds=8,
    ),
}
BRACKETS = {
    "grid": {"adaptive": (3.2e-3, 1e0), "sgd": (3.2e-2, 3.2e0)},
    "decay": {"adaptive": (3.2e-3, 3.2e-1), "sgd": (3.2e-2, 3.2e0)},
}
"""Narrower than the tasks' own, found in trials on other seeds.

The grid reaches from a rate at which all nets train to one at which hardly any does, so that no net's edge is left
out; under decay one rate is picked, so there the bracket need only hold the best.
"""


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The nets that are compared over their grids, attention update by update, warmup under every decay, the paper."""
    sizes = SIZES[parameters.preset]
    nets = [f"{data}-{net}" for data in sizes.data for net in TOKEN_NETS]
    nets += [f"{data}-{net}" for data in sizes.mlp_data for net in MLPS]
    for task in _had(nets):
        yield _compared(task, "adam", parameters)
        if task.partition("-")[0] in sizes.sgd_data:
            yield _compared(task, "sgd", parameters)
    for net in ("transformer", "transformer-pre"):
        yield _watched(f"{sizes.data[0]}-{net}", parameters)
    asked = parameters.task_names
    for task in asked or _had(sizes.decayed):
        yield _decayed(task, "adam", parameters)
        if asked or task in sizes.sgd_decayed:
            yield _decayed(task, "sgd", parameters)
    yield _paper(sizes.paper, parameters)


def not_run(parameters: Parameters) -> str:
    """Why the text that the preset calls for could not be trained on, in one line; empty where it was, or is not."""
    sizes = SIZES[parameters.preset]
    wanted = "text" in sizes.data or any(_of_text(task) for task in sizes.decayed)
    return text.missing() if wanted else ""


def weight_counts(runs: pd.DataFrame) -> pd.DataFrame:
    """The nets that were compared on tokens, and their numbers of weights: a row per data set, a column per net."""
    compared = [task for task in runs.loc[runs["part"] == "grid", "task"].unique() if _tokens(task)]
    counts: dict[str, dict[str, int]] = {}
    for task in compared:
        data, _, net = task.partition("-")
        counts.setdefault(data, {})[net] = sum(part.numel() for part in tasks.load(task).model().parameters())
    return pd.DataFrame(counts).T.rename_axis("data").reset_index()


def _had(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the tasks whose data can be had."""
    return tuple(name for name in names if not (_of_text(name) and text.missing()))


def _of_text(task: str) -> bool:
    return task.startswith("text-")


def _tokens(task: str) -> bool:
    """Whether a task trains a net on tokens."""
    return task.partition("-")[2] in TOKEN_NETS


def lengths_of(task: str, parameters: Parameters) -> tuple[int, int]:
    """Updates of a run on the task, and length of its warmup: as asked, else the preset's."""
    sizes = SIZES[parameters.preset]
    usual = (sizes.token_updates, sizes.token_warmup) if _tokens(task) else (sizes.updates, sizes.warmup)
    updates = parameters.updates or usual[0]
    return updates, warmup_within(parameters, usual[1], updates)


def _compared(task: str, optimizer: str, parameters: Parameters) -> Experiment:
    """{No warmup, ramp} and, for Adam, a short ramp over the grid of learning rates, none of which is picked."""
    _, length = lengths_of(task, parameters)
    ramps = {"none": 0, "ramp": length} | ({"short": max(1, length // SHORT)} if optimizer == "adam" else {})
    arms = [
        _arm(f"{optimizer}/{name}", optimizer, Schedule(warmup="ramp" if n else "none", length=n))
        for name, n in ramps.items()
    ]
    return _experiment("grid", task, arms, parameters, lrs=_lrs("grid", task, optimizer, parameters))


def _watched(task: str, parameters: Parameters) -> Experiment:
    """Attention and the gradients of the layers over the first updates, with and without warmup."""
    sizes, (updates, length) = SIZES[parameters.preset], lengths_of(task, parameters)
    last = min(updates, PROBED[-1])
    arms = [
        _arm("adam/none", "adam", Schedule()),
        _arm("adam/ramp", "adam", Schedule(warmup="ramp", length=min(length, last))),
    ]
    return _experiment(
        "watch",
        task,
        arms,
        parameters,
        lrs=(PROBED_LR,),
        updates=last,
        evaluate_every=last,
        confirmation_seeds=_reporting(parameters)[: sizes.probed_seeds],
        probed=tuple(update for update in PROBED if update <= last),
        probes=(
            "attention_logit",
            "attention_entropy",
            "gradient_embedding",
            "gradient_first_block",
            "gradient_last_block",
            "gradient_head",
        ),
    )


def _decayed(task: str, optimizer: str, parameters: Parameters) -> Experiment:
    """{No warmup, ramp} under every decay; without warmup, the decay starts where the ramp would have ended."""
    _, length = lengths_of(task, parameters)
    arms = [
        _arm(f"{optimizer}/{warmup}/{decay}", optimizer, schedule)
        for decay in DECAYS
        for warmup, schedule in _pair(length, decay).items()
    ]
    seeds = SIZES[parameters.preset].seeds.of(parameters)
    return _experiment("decay", task, arms, parameters, lrs=_lrs("decay", task, optimizer, parameters), **seeds)


def _paper(task: str, parameters: Parameters) -> Experiment:
    """The Transformer paper's schedule as it is, of peak (d n)^-1/2, for several n, and the same without its ramp."""
    updates, _ = lengths_of(task, parameters)
    arms = [
        _arm(f"adam/{warmup}/{n}", "adam", schedule, lr_scale=n**-0.5, **PAPER)
        for n in sorted({min(n, updates) for n in SIZES[parameters.preset].lengths})
        for warmup, schedule in _pair(n, "inverse_sqrt").items()
    ]
    return _experiment("paper", task, arms, parameters, lrs=(WIDTH**-0.5,))


def _pair(length: int, decay: Decay) -> dict[str, Schedule]:
    return {
        "none": Schedule(decay=decay, decay_from=length),
        "ramp": Schedule(warmup="ramp", length=length, decay=decay),
    }


def _arm(label: str, optimizer: str, schedule: Schedule, lr_scale: float = 1.0, **settings: float) -> Arm:
    rule = Optimizer.model_validate({"name": optimizer} | settings)
    return Arm(label=label, optimizer=rule, schedule=schedule, lr_scale=lr_scale)


def _lrs(part: str, task: str, optimizer: str, parameters: Parameters) -> tuple[float, ...]:
    """The grid of learning rates: the same for all nets of a comparison."""
    family, sizes = FAMILIES[optimizer], SIZES["full"]
    usual = part == "grid" or task in sizes.decayed
    low, high = BRACKETS[part][family] if usual else bracket(task, family)
    return parameters.lrs or lr_grid(low, high, SIZES[parameters.preset].points_per_decade)


def _reporting(parameters: Parameters) -> tuple[int, ...]:
    return SIZES[parameters.preset].seeds.of(parameters)["confirmation_seeds"]


def _experiment(part: str, task: str, arms: list[Arm], parameters: Parameters, **settings: Any) -> Experiment:
    """An experiment on a task, with whatever it has of its own; without selection seeds unless it brings some."""
    updates, _ = lengths_of(task, parameters)
    usual = {
        "updates": updates,
        "evaluate_every": updates,
        "confirmation_seeds": _reporting(parameters),
        "batch": tasks.load(task).batch,
        "device": device_of(parameters),
    }
    return Experiment(part=part, task=task, arms=tuple(arms), **usual | settings)
