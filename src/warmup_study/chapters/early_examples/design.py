"""Design of the fourth chapter: streams of examples that are redrawn, reordered, skewed, or switched to new classes."""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters import design
from warmup_study.chapters.design import arm
from warmup_study.parameters import GridParameters, Skew, Whole
from warmup_study.training.batches import ORDINARY, Cluster, Stream
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Warmup
from warmup_study.training.starts import Pretraining, Start

PARTS = {
    "orders": "many orders of the same examples, and many initial weights under one order",
    "blocks": "one pass over a stream of examples, with one of its blocks redrawn at a time",
    "skewed": "the first half epoch from one cluster, or from an ordinary stream",
    "first": "the first batch, or those of the whole ramp, from one class",
    "lengths": "ramps of growing length on streams of growing skew",
    "new": "a trained network meets classes that it has never seen",
}
LRS = (0.003, 0.01)  # Adam trains at either without warmup, as trials on other seeds showed
FIRST_LRS = {"sgd": 0.3, "adam": 0.01}
TUNED = (1e-3, 3.2e-2)  # bracket of the tuned parts
SPAN = 0.5  # epochs that the skewed start takes; a ramp over one epoch outlasts it
PASS, PASS_BATCH = 0.75, 8  # share of the examples that the single pass uses; what it leaves over is for redrawing
NEW_AT = (*range(1, 11), 12, 14, 17, 20, 25, 30, 40, 50, 70, 100, 140, 200)  # updates whose losses are told apart
TAUGHT, TAUGHT_LR = 500, 3e-3  # updates of Adam on the old classes, at a rate at which it needs no warmup
STRETCH = 20  # one update in so many is at the low learning rate when new classes come: answer 3's 500 of 10,000
ORDERED_EPOCHS = 6
KEPT = 3  # test examples whose final outputs are kept
GAP_AT = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)  # epochs at which the cluster's loss is told apart
WARMUPS: tuple[Warmup, ...] = ("none", "ramp", "constant")


class Parameters(GridParameters):
    """What the notebook takes."""

    epochs: Whole = Field(0, ge=0, le=1000, description="a whole number from 0 (the preset's) to 1000")
    skew: Skew = Field(1.0, description="a number above 0 and up to 1")


class Sizes(design.Sizes):
    """How large the chapter is.

    ``ordered`` are the tasks whose examples are put in many ``orders``, each seen by ``inits`` networks: the perceptron
    on MNIST-1D never halves its loss, so the convolutional net stands in there. One pass is cut in ``blocks``, at least
    three, so that what it leaves over suffices for one; ``firsts`` are lengths of ramps in updates whose first batch is
    exchanged; ``lengths`` of ramps, in epochs, are crossed with ``skews``.
    """

    ordered: tuple[str, ...]
    epochs: int
    blocks: int
    inits: int
    orders: int
    firsts: tuple[int, ...]
    lengths: tuple[float, ...]
    skews: tuple[float, ...]
    new_updates: int


SIZES = Sizes.by_preset(
    tasks={"smoke": ("digits-mlp",), "quick": ("digits-mlp",), "full": ("digits-mlp", "mnist1d-mlp")},
    ordered={"smoke": ("digits-mlp",), "quick": ("digits-mlp",), "full": ("digits-mlp", "mnist1d-conv")},
    epochs={"smoke": 2, "quick": 8, "full": 12},
    blocks={"smoke": 3, "quick": 5, "full": 8},
    inits={"smoke": 1, "quick": 2, "full": 3},
    orders={"smoke": 2, "quick": 16, "full": 40},
    firsts={"smoke": (1, 4), "quick": (1, 4, 16), "full": (1, 2, 4, 8, 16, 32, 64)},
    lengths={"smoke": (0, 1), "quick": (0, 1 / 4, 1, 4), "full": (0, 1 / 4, 1 / 2, 1, 2, 4)},
    skews={"smoke": (0.0, 1.0), "quick": (0.0, 1.0), "full": (0.0, 0.5, 0.9, 1.0)},
    new_updates={"smoke": 20, "quick": 200, "full": 200},
    points_per_decade={"smoke": 1, "quick": 2, "full": 2},
    selection_seeds={"smoke": 2, "quick": 3, "full": 6},
    confirmation_seeds={"smoke": 2, "quick": 8, "full": 30},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Orders; then per task: blocks redrawn, skewed starts, the first batch exchanged, lengths by skew, new classes."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.ordered:
        yield _Design.over_epochs(task, parameters, sizes).orders()
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.over_epochs(task, parameters, sizes)
        yield plan.blocks()
        yield plan.skewed(task, ("class", "kmeans"))
        yield plan.skewed(f"{task}+marks", ("mark",))
        yield from (plan.first(optimizer) for optimizer in FIRST_LRS)
        yield plan.lengths()
        yield plan.new_classes()


class _Design(design.Design):
    """Runs over ``epochs``; ``warmup`` takes one."""

    parameters: Parameters
    sizes: Sizes

    @classmethod
    def over_epochs(cls, task: str, parameters: Parameters, sizes: Sizes) -> Self:
        updates, warmup = (_updates(task, epochs) for epochs in (parameters.epochs or sizes.epochs, 1))
        return cls(task=task, parameters=parameters, sizes=sizes, updates=updates, warmup=warmup)

    def twin(
        self,
        warmup: str,
        label: str,
        length: int | None = None,
        *,
        optimizer: str = "adam",
        decay: str = "constant",
        **settings: Any,
    ) -> Arm:
        """An arm ``optimizer/warmup, label``."""
        rule, schedule = Optimizer.model_validate({"name": optimizer}), self.schedule(warmup, length, decay=decay)
        return arm(f"{optimizer}/{warmup}, {label}", rule, schedule, **settings)

    def orders(self) -> Experiment:
        first, count = self.confirmation_seeds[0], self.parameters.seeds or self.sizes.orders
        total = min(self.updates, _updates(self.task, ORDERED_EPOCHS))
        return self.experiment(
            "orders",
            [
                *(self.twin(w, f"weights {k}", init=first + k) for k in range(self.sizes.inits) for w in WARMUPS[:2]),
                *(self.twin(warmup, "one order", stream=Stream(order=first)) for warmup in WARMUPS[:2]),
            ],
            LRS[-1],
            confirmation_seeds=tuple(range(first, first + count)),
            updates=total,
            outputs_kept=KEPT,
        )

    def blocks(self) -> Experiment:
        length = int(PASS * len(tasks.load(self.task).splits.train) / PASS_BATCH / self.sizes.blocks)
        total = length * self.sizes.blocks
        streams = [ORDINARY, *(Stream(redrawn=(at + 1, at + length)) for at in range(0, total, length))]
        arms = [
            self.twin(warmup, f"{decay}, block {place}", total // 4, decay=decay, stream=stream)
            for decay in ("constant", "cosine")
            for warmup in WARMUPS
            for place, stream in enumerate(streams)
        ]
        return self.experiment("blocks", arms, LRS[-1], updates=total, batch=PASS_BATCH, outputs_kept=KEPT)

    def skewed(self, task: str, clusters: tuple[Cluster, ...]) -> Experiment:
        skews = [(cluster, self.parameters.skew, WARMUPS) for cluster in clusters]
        arms = [
            self.twin(warmup, f"{cluster} {skew:g}", stream=self.stream(cluster, skew))
            for cluster, skew, warmups in [*skews, (clusters[0], 0.0, WARMUPS[:2])]  # the latter is the control
            for warmup in warmups
        ]
        probed = {_updates(self.task, epochs) for epochs in GAP_AT} | {self.updates}
        return self.experiment(
            "skewed",
            arms,
            LRS,
            task=task,
            evaluate_every=max(1, self.warmup // 3),
            probed=tuple(sorted(update for update in probed if update <= self.updates)),
            probes=("inside_loss", "outside_loss"),
        )

    def first(self, optimizer: str) -> Experiment:
        """Twins that differ in the first batch alone, or in those of the whole ramp: from one class, or ordinary."""
        lengths = self.sizes.firsts
        arms = [
            self.twin(
                "ramp", f"{name} {n}", n, optimizer=optimizer, stream=Stream(cluster="class", skew=skew, span=span)
            )
            for n in lengths
            for name, skew, span in (("plain", 0.0, 0), ("first", 1.0, 1), ("whole", 1.0, n))
            if n > 1 or name != "whole"  # a ramp of one update is its first batch
        ]
        return self.experiment(
            "first",
            arms,
            FIRST_LRS[optimizer],
            updates=lengths[-1],
            probed=lengths,
            probes=("inside_loss", "outside_loss", "displacement"),
        )

    def lengths(self) -> Experiment:
        epochs = self.sizes.lengths
        lengths = sorted({min(_updates(self.task, share), self.updates) if share else 0 for share in epochs})
        arms = [
            self.twin("ramp" if n else "none", f"skew {skew:g}, {n}", n, stream=self.stream("class", skew))
            for skew in self.sizes.skews
            for n in lengths
        ]
        return self.experiment("lengths", arms, self.lrs("adaptive", TUNED), selection_seeds=self.selection_seeds)

    def new_classes(self) -> Experiment:
        total = self.sizes.new_updates
        settings: dict[str, Any] = {"stream": Stream(cluster="taught"), "start": Start(before=self.old_classes())}
        return self.experiment(
            "new",
            [self.twin(warmup, "new classes", max(1, total // STRETCH), **settings) for warmup in WARMUPS],
            self.lrs("adaptive", TUNED),
            task=f"{self.task}+new",
            updates=total,
            probed=tuple(update for update in NEW_AT if update <= total),
            probes=("inside_loss", "outside_loss"),
        )

    def old_classes(self) -> Pretraining:
        rule, batch = Optimizer(name="adam"), tasks.load(self.task).batch
        return Pretraining(task=f"{self.task}+old", updates=TAUGHT, optimizer=rule, lr=TAUGHT_LR, batch=batch)

    def stream(self, cluster: Cluster, skew: float) -> Stream:
        """Skewed for half an epoch."""
        return Stream(cluster=cluster, skew=skew, span=_updates(self.task, SPAN) if skew else 0)


def _updates(task: str, epochs: float) -> int:
    """So many epochs in updates, at least one."""
    return max(1, round(epochs * len(tasks.load(task).splits.train) / tasks.load(task).batch))
