"""Where runs begin that do not begin from initial weights: at a network that has been trained before."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule

PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]


class Frozen(BaseModel):
    """Settings that cannot be changed once they are checked; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pretraining(Frozen):
    """How networks were trained before: from initial weights, on ordinary batches, both of one seed.

    Raises ``pydantic.ValidationError`` for anything out of range.
    """

    task: str
    updates: Annotated[int, Field(ge=1, le=100_000)]
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    lr: PositiveFloat
    batch: Annotated[int, Field(ge=1, le=4096)] = 64

    @model_validator(mode="after")
    def _warm_within_the_run(self) -> Self:
        if self.schedule.warmup_length > self.updates:
            raise ValueError(f"warmup length: got {self.schedule.warmup_length}; takes at most {self.updates} updates")
        return self

    @property
    def interrupted(self) -> bool:
        """Whether its optimiser forgot something on the way, so that its counters tell less than its updates."""
        return bool(self.optimizer.reset_at or self.optimizer.count1_from or self.optimizer.count2_from)


class Start(Frozen):
    """What a run takes over from its pre-training, which is that of the seed of its initial weights.

    - ``state``: of the optimiser; ``kept``, its moments or velocity and its counters go on, ``fresh``, they are zero.
    - ``head``: the layer that is used last; ``new``, it has initial weights of another seed.
    - ``backbone``: all other layers; ``frozen``, they are not trained. The running statistics of normalisation go on.
    - ``batches``: on the task of the pre-training; ``continued``, the order of the batches and the masks of dropout go
      on where they ended, ``anew``, they begin again with the first. Another task always begins with its first.

    Numbers that layers keep in attributes, neither parameters nor buffers, are not taken over.
    """

    before: Pretraining
    state: Literal["kept", "fresh"] = "fresh"
    head: Literal["kept", "new"] = "kept"
    backbone: Literal["free", "frozen"] = "free"
    batches: Literal["continued", "anew"] = "continued"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.state == "kept" and self.head == "new":
            raise ValueError("state: got 'kept' with a new head, which has no state to keep; takes 'fresh' with it")
        if self.state == "kept" and self.before.interrupted:
            raise ValueError("state: got 'kept' after a reset; takes 'fresh', or a pre-training without resets")
        return self

    @property
    def updates_kept(self) -> int:
        """Updates that the optimiser's state, and so its counters, have seen."""
        return self.before.updates if self.state == "kept" else 0

    def updates_done(self, task: str) -> int:
        """Updates after which a run on this task goes on: those of the pre-training, or 0 where it begins anew."""
        return self.before.updates if self.batches == "continued" and self.before.task == task else 0
