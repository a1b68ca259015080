"""Design of the fourth chapter: data streams that are redrawn, reordered, or skewed at the start."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

from pydantic import Field

from warmup_study import tasks
from warmup_study.chapters import design
from warmup_study.chapters.design import arm
from warmup_study.parameters import GridParameters, Skew, Whole
from warmup_study.training.batches import ORDINARY, Cluster, Stream
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Decay, Schedule, Warmup
from warmup_study.training.starts import PositiveFloat

PARTS = {
    "orders": "the same examples in many orders; many initialisations with one order",
    "blocks": "a single pass over the examples, redrawing one block at a time",
    "skewed": "first half epoch from one cluster, or from an ordinary stream",
    "first": "first batch, or all batches of the ramp, from one class",
}
SPAN = 0.5  # epochs that the skewed start takes; a ramp over one epoch outlasts it
PASS, PASS_BATCH = 0.75, 8  # share of the examples that the single pass uses; what it leaves over is for redrawing
ORDERED_EPOCHS = 6
KEPT = 8  # test examples whose final outputs are kept
GAP_AT = (0.5, 1, 2, 4, 8)  # epochs at which the cluster's loss is told apart, on the whole test split
WARMUPS: tuple[Warmup, ...] = ("none", "ramp")


class Parameters(GridParameters):
    """What the notebook takes."""

    epochs: Whole = Field(0, ge=0, le=1000, description="a whole number from 0 (the preset's) to 1000")
    skew: Skew = Field(1.0, description="a number above 0 and up to 1")


class Sizes(design.Sizes):
    """How large the chapter is on one task.

    ``lr`` and ``sgd_lr`` are learning rates at which Adam and plain SGD do best without warmup on an ordinary stream,
    as other seeds showed; ``multiples`` of the former make the grid on skewed streams. ``pass_lr`` is Adam's in a
    single pass, None where one pass trains nothing. A pass is cut in ``blocks``, at least three, so that what it leaves
    over suffices for one, from ``block_seeds`` seeds. ``orders`` of the same examples are each seen by ``inits``
    networks; ``firsts`` are lengths of ramps in updates whose first batch is exchanged, from ``first_seeds`` seeds.
    """

    epochs: int
    lr: PositiveFloat = 0.008
    pass_lr: PositiveFloat | None = 0.008
    sgd_lr: PositiveFloat = 0.3
    multiples: tuple[float, ...]
    blocks: int
    block_seeds: int
    inits: int
    orders: int
    firsts: tuple[int, ...]
    first_seeds: int


# Planned for `full`, from the spreads of the first round: half-widths of 0.09 in the log ratio of a block's influence,
# 0.04 in that of the logits' variances, 0.025 nats in the gap, 0.15 epochs on the way to the target, 0.05 in a slope.
SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-he8", "mnist1d-conv"),
    },
    epochs={"smoke": 4, "quick": 12, "full": 24},
    multiples={"smoke": (1.0,), "quick": (1 / 2, 1.0, 2.0, 4.0), "full": (1 / 4, 1 / 2, 1.0, 2.0, 4.0)},
    blocks={"smoke": 3, "quick": 6, "full": 8},
    block_seeds={"smoke": 2, "quick": 20, "full": 120},
    inits={"smoke": 1, "quick": 2, "full": 3},
    orders={"smoke": 2, "quick": 24, "full": 120},
    firsts={"smoke": (1, 4), "quick": (1, 4, 16), "full": (1, 2, 4, 8, 16, 32, 64)},
    first_seeds={"smoke": 2, "quick": 12, "full": 40},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    seeds={"smoke": 2, "quick": 10, "full": 60},
    own={
        "full": {
            "digits-he8": {"epochs": 30, "pass_lr": 0.003, "sgd_lr": 0.1},
            "mnist1d-conv": {
                "epochs": 16,
                "lr": 0.016,
                "pass_lr": None,
                "multiples": tuple(2.0**k for k in range(-4, 3)),
            },
        }
    },
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """Per task: orders, blocks redrawn, skewed starts, and the first batch exchanged."""
    sizes = SIZES[parameters.preset]
    for task in parameters.task_names or sizes.tasks:
        plan = _Design.over_epochs(task, parameters, sizes.on(task))
        yield plan.orders()
        if plan.sizes.pass_lr:
            yield plan.blocks(plan.sizes.pass_lr)
        yield plan.skewed(task, ("class", "kmeans"))
        yield plan.skewed(f"{task}+marks", ("mark",))
        yield plan.first("sgd", plan.sizes.sgd_lr)
        yield plan.first("adam", plan.sizes.lr)


class _Design(design.Design):
    """Runs over ``epochs``; ``warmup`` takes one."""

    parameters: Parameters
    sizes: Sizes

    @classmethod
    def over_epochs(cls, task: str, parameters: Parameters, sizes: Sizes) -> Self:
        updates, warmup = (_updates(task, epochs) for epochs in (parameters.epochs or sizes.epochs, 1))
        return cls(task=task, parameters=parameters, sizes=sizes, updates=updates, warmup=warmup)

    def twin(self, label: str, schedule: Schedule, *, optimizer: str = "adam", **settings: Any) -> Arm:
        """An arm ``optimizer/warmup, label``."""
        rule = Optimizer.model_validate({"name": optimizer})
        return arm(f"{optimizer}/{schedule.warmup}, {label}", rule, schedule, **settings)

    def orders(self) -> Experiment:
        seeds = self.seeded(self.sizes.orders)
        total = min(self.updates, _updates(self.task, ORDERED_EPOCHS))
        schedules = [self.decaying(warmup) for warmup in WARMUPS]
        fixed: list[tuple[str, dict[str, Any]]] = [
            *((f"weights {k}", {"init": seeds[0] + k}) for k in range(self.sizes.inits)),
            ("one order", {"stream": Stream(order=seeds[0])}),
        ]
        return self.experiment(
            "orders",
            [self.twin(name, schedule, **what) for name, what in fixed for schedule in schedules],
            (self.sizes.lr, 2 * self.sizes.lr),
            seeds=seeds,
            updates=total,
            outputs_kept=KEPT,
        )

    def blocks(self, lr: float) -> Experiment:
        length = int(PASS * len(tasks.load(self.task).splits.train) / PASS_BATCH / self.sizes.blocks)
        total = length * self.sizes.blocks
        streams = [ORDINARY, *(Stream(redrawn=(at + 1, at + length)) for at in range(0, total, length))]
        conditions: list[tuple[Warmup, Decay]] = [("none", "constant"), ("ramp", "constant"), ("none", "cosine")]
        arms = [
            self.twin(f"{decay}, block {place}", self.schedule(warmup, total // 4, decay=decay), stream=stream)
            for warmup, decay in conditions
            for place, stream in enumerate(streams)
        ]
        return self.experiment(
            "blocks",
            arms,
            lr,
            seeds=self.seeded(self.sizes.block_seeds),
            updates=total,
            batch=PASS_BATCH,
            outputs_kept=KEPT,
        )

    def skewed(self, task: str, clusters: Sequence[Cluster]) -> Experiment:
        schedules = [self.decaying(warmup) for warmup in WARMUPS]
        streams = [self.stream(cluster, self.parameters.skew) for cluster in clusters]
        settings = [(stream, schedule) for stream in streams for schedule in (*schedules, self.equally_small())]
        settings += [(self.stream(clusters[0], 0.0), schedule) for schedule in schedules]
        probed = {_updates(self.task, epochs) for epochs in GAP_AT} | {self.updates}
        return self.experiment(
            "skewed",
            [self.twin(f"{stream.cluster} {stream.skew:g}", how, stream=stream) for stream, how in settings],
            tuple(self.sizes.lr * multiple for multiple in self.sizes.multiples),
            task=task,
            evaluate_every=max(1, self.warmup // 3),
            probed=tuple(sorted(update for update in probed if update <= self.updates)),
            probes=("inside_loss", "outside_loss"),
        )

    def equally_small(self) -> Schedule:
        """As many updates as the ramp takes, at its mean learning rate: equally small steps that do not grow."""
        mean = (self.warmup + 1) / (2 * self.warmup)
        return self.decaying("constant", level=mean)

    def first(self, optimizer: str, lr: float) -> Experiment:
        """Twins that differ in the first batch alone, or in those of the whole ramp: from one class, or ordinary."""
        lengths = self.sizes.firsts
        arms = [
            self.twin(
                f"{name} {n}",
                self.schedule("ramp", n),
                optimizer=optimizer,
                stream=Stream(cluster="class", skew=skew, span=span),
            )
            for n in lengths
            for name, skew, span in (("plain", 0.0, 0), ("first", 1.0, 1), ("whole", 1.0, n))
            if n > 1 or name != "whole"  # a ramp of one update is its first batch
        ]
        return self.experiment(
            "first",
            arms,
            lr,
            seeds=self.seeded(self.sizes.first_seeds),
            updates=lengths[-1],
            probed=lengths,
            probes=("inside_loss", "outside_loss", "displacement"),
        )

    def stream(self, cluster: Cluster, skew: float) -> Stream:
        """Skewed for half an epoch."""
        return Stream(cluster=cluster, skew=skew, span=_updates(self.task, SPAN) if skew else 0)


def _updates(task: str, epochs: float) -> int:
    """So many epochs in updates, at least two: a ramp of one update is none."""
    return max(2, round(epochs * len(tasks.load(task).splits.train) / tasks.load(task).batch))
