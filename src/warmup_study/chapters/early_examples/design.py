"""Design of the fourth chapter: streams of examples that are redrawn, reordered, skewed, or switched to new classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters.sizes import Seeds, device_of
from warmup_study.parameters import CommonParameters, Rates, Skew, Whole
from warmup_study.training.batches import ORDINARY, Cluster, Stream
from warmup_study.training.experiment import Arm, Experiment, lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Decay, Schedule, Warmup

RATES = (0.003, 0.01)  # Adam trains at either without warmup, as trials on other seeds showed
FIRST_RATES = {"sgd": 0.3, "adam": 0.01}
TUNED = (1e-3, 3.2e-2)  # bracket of the tuned parts
SPAN = 0.5  # epochs that the skewed start takes; a ramp over one epoch outlasts it
PASS, PASS_BATCH = 0.75, 8  # share of the examples that the single pass uses; what it leaves over is for redrawing
NEW_UPDATES = 200
NEW_AT = (*range(1, 11), 12, 14, 17, 20, 25, 30, 40, 50, 70, 100, 140, 200)  # updates whose losses are told apart
STRETCH = 20  # one update in so many is taken at the low rate when new classes come: answer 3's 500 of 10,000
ORDERED_EPOCHS = 6
KEPT = 3  # test examples whose final outputs are kept
GAP_AT = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)  # epochs at which the cluster's loss is told apart
WARMUPS: tuple[Warmup, ...] = ("none", "ramp", "constant")


class Parameters(CommonParameters):
    """What the notebook takes."""

    epochs: Whole = Field(0, ge=0, le=1000, description="a whole number from 0 (the preset's) to 1000")
    skew: Skew = Field(1.0, description="a number above 0 and up to 1")
    lrs: Rates = Field((), description="positive numbers joined by commas (empty: the preset's)")


@dataclass(frozen=True)
class Sizes:
    """How large the chapter is under one preset.

    ``ordered`` are the tasks whose examples are put in many ``orders``, each seen by ``inits`` networks: the perceptron
    on MNIST-1D never halves its loss, so the convolutional net stands in there. One pass is cut in ``blocks``, at least
    three, so that what it leaves over suffices for one; ``firsts`` are lengths of ramps in updates whose first batch is
    exchanged; ``lengths`` of ramps, in epochs, are crossed with ``skews``.
    """

    tasks: tuple[str, ...]
    ordered: tuple[str, ...]
    epochs: int
    blocks: int
    inits: int
    firsts: tuple[int, ...]
    lengths: tuple[float, ...]
    skews: tuple[float, ...]
    points_per_decade: int
    seeds: Seeds
    orders: int


_DIGITS = ("digits-mlp",)
SIZES = {
    "smoke": Sizes(_DIGITS, _DIGITS, 2, 3, 1, (1, 4), (0, 1), (0.0, 1.0), 1, Seeds(2, 2), 2),
    "quick": Sizes(_DIGITS, _DIGITS, 8, 5, 2, (1, 4, 16), (0, 1 / 4, 1, 4), (0.0, 1.0), 2, Seeds(3, 8), 16),
    "full": Sizes(
        ("digits-mlp", "mnist1d-mlp"),
        ("digits-mlp", "mnist1d-conv"),
        12,
        8,
        3,
        (1, 2, 4, 8, 16, 32, 64),
        (0, 1 / 4, 1 / 2, 1, 2, 4),
        (0.0, 0.5, 0.9, 1.0),
        2,
        Seeds(6, 30),
        40,
    ),
}


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Orders; then per task: blocks redrawn, skewed starts, the first batch exchanged, lengths by skew, new classes."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.ordered:
        yield _Design(task, parameters).orders()
    for task in parameters.task_names or sizes.tasks:
        design = _Design(task, parameters)
        yield design.blocks()
        yield design.skewed(task, ("class", "kmeans"))
        yield design.skewed(f"{task}+marks", ("mark",))
        yield from (design.first(optimizer) for optimizer in FIRST_RATES)
        yield design.lengths()
        yield design.new_classes()


class _Design:
    """The experiments on one task."""

    def __init__(self, task: str, parameters: Parameters) -> None:
        self.task, self.parameters, self.sizes = task, parameters, SIZES[parameters.preset]
        self.seeds = self.sizes.seeds.of(parameters)
        self.reporting = self.seeds["confirmation_seeds"]
        self.batch, self.examples = tasks.load(task).batch, len(tasks.load(task).splits.train)
        self.total = self.updates(parameters.epochs or self.sizes.epochs)
        self.rates = parameters.lrs or RATES

    def updates(self, epochs: float) -> int:
        """So many epochs in updates, at least one."""
        return max(1, round(epochs * self.examples / self.batch))

    def blocks(self) -> Experiment:
        """One pass over a stream of examples; one of its blocks at a time is redrawn, under six schedules."""
        length = int(PASS * self.examples / PASS_BATCH / self.sizes.blocks)
        total = length * self.sizes.blocks
        streams = [ORDINARY, *(Stream(redrawn=(at + 1, at + length)) for at in range(0, total, length))]
        decays: tuple[Decay, ...] = ("constant", "cosine")
        arms = [
            _arm(warmup, total // 4, f"{decay}, block {place}", decay=decay, stream=stream)
            for decay in decays
            for warmup in WARMUPS
            for place, stream in enumerate(streams)
        ]
        return self.experiment(
            "blocks", arms, self.rates[-1:], updates=total, batch=PASS_BATCH, outputs_kept=KEPT, evaluate_every=total
        )

    def orders(self) -> Experiment:
        """Many orders of the same examples from a few initial weights; and many initial weights under one order."""
        first, count = self.reporting[0], self.parameters.seeds or self.sizes.orders
        ramp = self.updates(1)
        arms = [
            *(_arm(w, ramp, f"weights {k}", init=first + k) for k in range(self.sizes.inits) for w in WARMUPS[:2]),
            *(_arm(warmup, ramp, "one order", stream=Stream(order=first)) for warmup in WARMUPS[:2]),
        ]
        seeds = tuple(range(first, first + count))
        total = min(self.total, self.updates(ORDERED_EPOCHS))
        return self.experiment(
            "orders",
            arms,
            self.rates[-1:],
            confirmation_seeds=seeds,
            outputs_kept=KEPT,
            updates=total,
            evaluate_every=total,
        )

    def skewed(self, task: str, clusters: tuple[Cluster, ...]) -> Experiment:
        """The first half epoch comes from one cluster, with an ordinary stream as the control."""
        span, ramp = self.updates(SPAN), self.updates(1)
        skews = [(cluster, self.parameters.skew, WARMUPS) for cluster in clusters]
        arms = [
            _arm(warmup, ramp, f"{cluster} {skew:g}", stream=_skewed(cluster, skew, span))
            for cluster, skew, warmups in [*skews, (clusters[0], 0.0, WARMUPS[:2])]
            for warmup in warmups
        ]
        probed = {self.updates(epochs) for epochs in GAP_AT} | {self.total}
        return self.experiment(
            "skewed",
            arms,
            self.rates,
            task=task,
            evaluate_every=max(1, ramp // 3),
            probed=tuple(sorted(update for update in probed if update <= self.total)),
            probes=("inside_loss", "outside_loss"),
        )

    def first(self, optimizer: str) -> Experiment:
        """Twins that differ in the first batch alone, or in those of the whole ramp: from one class, or ordinary."""
        lengths = self.sizes.firsts
        arms = [
            _arm("ramp", n, f"{name} {n}", optimizer=optimizer, stream=_skewed("class", float(span > 0), span))
            for n in lengths
            for name, span in {"plain": 0, "first": 1, "whole": n}.items()
            if n > 1 or name != "whole"  # a ramp of one update is its first batch
        ]
        return self.experiment(
            "first",
            arms,
            (FIRST_RATES[optimizer],),
            updates=lengths[-1],
            evaluate_every=lengths[-1],
            probed=lengths,
            probes=("inside_loss", "outside_loss", "displacement"),
        )

    def lengths(self) -> Experiment:
        """Ramps of growing length on streams of growing skew, over a grid of learning rates."""
        span = self.updates(SPAN)
        lengths = sorted({min(self.updates(epochs), self.total) if epochs else 0 for epochs in self.sizes.lengths})
        arms = [
            _arm("ramp" if n else "none", n, f"skew {skew:g}, {n}", stream=_skewed("class", skew, span))
            for skew in self.sizes.skews
            for n in lengths
        ]
        return self.experiment("lengths", arms, self.tuned, **self.seeds)

    def new_classes(self) -> Experiment:
        """A trained model meets classes that it has never seen, with a fresh optimiser."""
        total = NEW_UPDATES if self.parameters.preset != "smoke" else STRETCH
        stream = Stream(cluster="taught")
        arms = [_arm(warmup, max(1, total // STRETCH), "new classes", stream=stream) for warmup in WARMUPS]
        return self.experiment(
            "new",
            arms,
            self.tuned,
            task=f"{self.task}+new",
            updates=total,
            evaluate_every=total,
            probed=tuple(update for update in NEW_AT if update <= total),
            probes=("inside_loss", "outside_loss"),
        )

    @property
    def tuned(self) -> tuple[float, ...]:
        """The grid of learning rates of the tuned parts."""
        return self.parameters.lrs or lr_grid(*TUNED, self.sizes.points_per_decade)

    def experiment(self, part: str, arms: list[Arm], lrs: tuple[float, ...], **settings: Any) -> Experiment:
        """An experiment on the task, on the reporting seeds, with whatever it has of its own."""
        usual = {
            "task": self.task,
            "confirmation_seeds": self.reporting,
            "updates": self.total,
            "batch": self.batch,
            "evaluate_every": self.total,
        }
        chosen = usual | settings
        return Experiment(part=part, arms=tuple(arms), lrs=lrs, device=device_of(self.parameters), **chosen)


def _skewed(cluster: Cluster, skew: float, span: int) -> Stream:
    return Stream(cluster=cluster, skew=skew, span=span if skew else 0)


def _arm(
    warmup: Warmup, length: int, label: str, *, optimizer: str = "adam", decay: Decay = "constant", **settings: Any
) -> Arm:
    """One arm, ``optimizer/warmup, label``."""
    return Arm(
        label=f"{optimizer}/{warmup}, {label}",
        optimizer=Optimizer.model_validate({"name": optimizer}),
        schedule=Schedule(warmup=warmup, length=0 if warmup == "none" else length, decay=decay),
        **settings,
    )
