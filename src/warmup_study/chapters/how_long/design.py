"""Design of the eighth chapter: ramps of every length, over lengths of run, batches and values of β₂; shapes; batches.

Lengths 0, 3, 10, 30, 100, 300 and 1,000 (a ramp of one update is no warmup) times runs of 300, 1,000 and 3,000 updates,
four batches and four kinds of β₂ on three tasks would be a day's work. The design is a fraction of it, a star: from the
middle (1,000 updates, the task's own batch, β₂ = 0.999) it goes out along one axis at a time, which tells main effects
apart, and nothing of how they depend on one another.

==================== ============================= ===================== ==================================
axis                 digits-mlp (own batch 64)     digits-he8 (own 64)   digits-transformer (own batch 32)
==================== ============================= ===================== ==================================
run length           300, 3,000                    300, 3,000            300, 3,000
β₂                   0.9, 0.95, 0.98, 0.99         0.9, 0.95, 0.98, 0.99 0.9, 0.95, 0.98, 0.99
batch                16, 256; 1,024 in runs of 300 16, 256               16; 256 in runs of 300
β₂, half-life fixed  at 16 and 256                 at 16                 at 16
==================== ============================= ===================== ==================================

Each cell has a ramp of one epoch, too, and one of 2/(1−β₂) updates where the run is at least half as long again; none
takes more than half the run beside these. All three tasks have 1,257 training examples, so that a length fixed in
epochs and one fixed in examples are the same.
"""

from collections.abc import Iterator, Mapping, Sequence

from warmup_study import tasks
from warmup_study.chapters import core_grid, design
from warmup_study.chapters.design import arm
from warmup_study.chapters.how_long.sizes import SIZES, USUAL_BETA2, Sizes
from warmup_study.parameters import RunParameters
from warmup_study.training.batches import Stream
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PARTS = {
    "lengths": "ramps of many lengths, across run lengths, batch sizes and β₂",
    "shapes": "other ramp shapes and starting factors",
    "batch": "with and without a ramp at several batch sizes",
    core_grid.PART: core_grid.TITLE,
    "skew": "short and long ramps, on a stream that starts with one class and on a mixed one",
}
RAMPS = (3, 10, 30, 100, 300, 1000)  # updates
ADAM = core_grid.OPTIMIZERS["adam"]
LONGEST = 0.5  # of the run, save the lengths that rules of thumb give
IN_CORE = {"mnist1d-conv": "mnist1d-conv-1024"}
"""By task: the one that has its cell at the largest batch in the core grid."""
SKEW_EPOCHS = (0.25, 4.0)  # lengths of ramps
SKEW_SPAN = 0.5  # epochs that the skewed start takes
MIXED, SKEWED = 0.0, 1.0


class Parameters(RunParameters):
    """What the notebook takes.

    ``updates`` is the usual length of a run, of which others are multiples; ``warmup`` the length of ramps whose length
    is not the question.
    """


def experiments(parameters: RunParameters) -> Iterator[Experiment]:
    """Per task: ramps of every length, shapes, batches, and ramps on a skewed stream."""
    sizes, asked = SIZES[parameters.preset], parameters.task_names
    for name in asked or sizes.tasks:
        yield from Plan.on(name, parameters, sizes).lengths()
    for name in asked or sizes.shaped_tasks:
        yield Plan.on(name, parameters, sizes).shapes()
    for name in asked or sizes.batch_tasks:
        yield from Plan.on(name, parameters, sizes).by_batch()
    for name in asked or sizes.skew_tasks:
        yield Plan.on(name, parameters, sizes).skew()


class Plan(design.Design):
    """The chapter's parts on one task."""

    parameters: RunParameters
    sizes: Sizes

    def lengths(self) -> Iterator[Experiment]:
        """An experiment for each group of cells: all lengths under all its values of β₂."""
        for group in self.sizes.groups:
            batch, updates = group.batch or self.batch, max(1, round(group.times * self.updates))
            extra = (self.fixed_half_life(batch),) if group.half_life else ()
            arms = [
                self._ramp(beta2, length)
                for beta2 in (*group.betas, *extra)
                for length in tried(updates, epoch(self.task, batch), beta2)
            ]
            seeds = self.seeds[: self.sizes.length_seeds]
            lrs = self.lrs("adaptive", group.bracket)
            every = max(1, updates // self.sizes.evaluations)
            yield self.experiment("lengths", arms, lrs, seeds=seeds, batch=batch, updates=updates, evaluate_every=every)

    def fixed_half_life(self, batch: int) -> float:
        """The β₂ that forgets as many examples to a half as the usual one does at the task's own batch."""
        return round(float(USUAL_BETA2 ** (batch / self.batch)), 6)

    def _ramp(self, beta2: float, length: int) -> Arm:
        return arm(f"β2 {beta2:g}/{length}", Optimizer(name="adam", beta2=beta2), _decaying(length))

    def shapes(self) -> Experiment:
        """Adam without warmup and under every shape, each of which forgoes as many full updates as the ramp."""
        arms = [arm(name, ADAM, schedule) for name, schedule in shapes(self.warmup).items()]
        lrs = self.lrs("adaptive", self.sizes.shaped)
        return self.experiment("shapes", arms, lrs, seeds=self.seeds[: self.sizes.shape_seeds])

    def by_batch(self) -> Iterator[Experiment]:
        """SGD with momentum and Adam at every batch; the largest in the core grid, where that has it."""
        in_core = IN_CORE.get(self.task) if self.parameters.preset == "full" else None
        for batch in self.sizes.batches:
            if in_core and batch == tasks.load(in_core).batch:
                yield from core_grid.experiments(self.parameters, (in_core,), ("momentum", "adam"), longer=False)
            else:
                yield from (self._at_batch(name, batch) for name in ("momentum", "adam"))

    def _at_batch(self, optimizer: str, batch: int) -> Experiment:
        updates = self.parameters.updates or self.sizes.batch_updates
        length = min(self.parameters.warmup or max(1, round(core_grid.WARMUP * updates)), updates)
        warmups = ("none", "ramp", "constant") if batch == self.sizes.batches[-1] else ("none", "ramp")
        rule = core_grid.OPTIMIZERS[optimizer]
        arms = [arm(f"{optimizer}/{warmup}", rule, self.decaying(warmup, length)) for warmup in warmups]
        lrs = self.lrs("sgd", self.sizes.momentum) if optimizer == "momentum" else self.lrs("adaptive", self.sizes.adam)
        seeds = self.seeds[: self.sizes.batch_seeds]
        return self.experiment("batch", arms, lrs, seeds=seeds, batch=batch, updates=updates)

    def skew(self) -> Experiment:
        """Ramps of several epochs on both streams."""
        total = in_updates(self.task, self.sizes.epochs, self.batch)
        span = in_updates(self.task, SKEW_SPAN, self.batch)
        streams = {skew: Stream(cluster="class", skew=skew, span=span if skew else 0) for skew in (MIXED, SKEWED)}
        arms = [
            arm(skew_arm(epochs, skew), ADAM, _decaying(in_updates(self.task, epochs, self.batch)), stream=stream)
            for skew, stream in streams.items()
            for epochs in SKEW_EPOCHS
        ]
        lrs = self.lrs("adaptive", self.sizes.skew_lrs)
        return self.experiment("skew", arms, lrs, updates=total)


def skew_arm(epochs: float, skew: float) -> str:
    """The label of a ramp over so many epochs on a stream."""
    return f"{epochs:g} epochs, skew {skew:g}"


def _decaying(length: int) -> Schedule:
    """A ramp and then a cosine decay; none at all for a length of 0."""
    return Schedule(warmup="ramp" if length else "none", length=length, decay="cosine")


def epoch(task: str, batch: int) -> float:
    """Updates to an epoch."""
    return len(tasks.load(task).splits.train) / batch


def in_updates(task: str, epochs: float, batch: int) -> int:
    """So many epochs in updates, at least two: a ramp of one update is none."""
    return max(2, round(epochs * epoch(task, batch)))


def untuned_length(beta2: float) -> int:
    """2/(1−β₂) updates (Ma & Yarats 2019, arXiv 1910.04209)."""
    return Schedule(warmup="untuned", beta2=beta2).warmup_length


def holds_untuned(updates: int, beta2: float) -> bool:
    """Whether a run is half as long again as a ramp of 2/(1−β₂) updates, or longer."""
    return 2 * updates >= 3 * untuned_length(beta2)


def tried(updates: int, an_epoch: float, beta2: float) -> tuple[int, ...]:
    """The lengths of ramp in a cell, ascending: 0, an epoch and 2/(1−β₂) updates where they fit, and the usual ones.

    A usual length that lies within a third of an epoch is left out.
    """
    fits = 1.5 <= an_epoch <= updates
    rules = {round(an_epoch)} if fits else set()
    usual = {n for n in RAMPS if n <= LONGEST * updates and not (fits and 3 / 4 <= n / an_epoch <= 4 / 3)}
    return tuple(sorted({0, *usual, *rules, *([untuned_length(beta2)] if holds_untuned(updates, beta2) else [])}))


def shapes(length: int) -> Mapping[str, Schedule]:
    """Schedules by their names in the report; all decay from the end of the ramp of that length.

    The exponential one, with half the time constant, forgoes as many full updates as the ramp, and so does the
    quadratic one over three quarters of its length.
    """
    shared = {"decay": "cosine", "decay_from": length}
    found: Sequence[tuple[str, dict[str, object]]] = (
        (NO_WARMUP, {"warmup": "none"}),
        (LINEAR, {"warmup": "ramp", "length": length}),
        ("linear from 0 (first update wasted)", {"warmup": "ramp", "length": length, "start": 0.0}),
        ("linear from 0.01", {"warmup": "ramp", "length": length, "start": 0.01}),
        ("linear from 0.1", {"warmup": "ramp", "length": length, "start": 0.1}),
        ("quadratic", {"warmup": "polynomial", "length": max(1, round(0.75 * length)), "power": 2.0}),
        ("exponential", {"warmup": "exponential", "length": max(1, round(0.5 * length))}),
    )
    return {name: Schedule.model_validate(shared | settings) for name, settings in found}


NO_WARMUP, LINEAR = "no warmup", "linear from 1/n"
