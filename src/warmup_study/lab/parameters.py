"""What the lab takes: the setup that it opens with, and what is shown of it."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from warmup_study import tasks
from warmup_study.errors import StudyError, nearest
from warmup_study.parameters import Folder, Positive, Whole, spelled_number
from warmup_study.training import optimizers
from warmup_study.training.probes import PROBES

_NEEDS_PAIR = {"inside_loss", "outside_loss", "displacement"}  # a paired run, or a stream with a cluster
OFFERED = tuple(name for name in PROBES if name not in _NEEDS_PAIR | {"update_size"})
"""Probes of a single run beside the size of its updates, which is always shown."""
Kept = Annotated[float, BeforeValidator(spelled_number), Field(ge=0, lt=1)]


def _loaded(name: str) -> str:
    """Load the task of that name, so that a wrong one fails here."""
    tasks.load(name)
    return name


class Setup(BaseModel):
    """What the lab trains from many seeds: a task, a rule, a schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Annotated[str, AfterValidator(_loaded)] = Field(
        "digits-transformer", description="the name of a task, or module:function"
    )
    optimizer: optimizers.Name = Field("adam", description=f"one of {', '.join(get_args(optimizers.Name))}")
    momentum: Kept = Field(0.9, description="a number from 0 to below 1")
    beta1: Kept = Field(0.9, description="a number from 0 to below 1")
    beta2: Kept = Field(0.999, description="a number from 0 to below 1")
    lr: Positive = Field(0.03, description="a positive number")
    updates: Whole = Field(120, ge=2, le=2000, description="a whole number from 2 to 2000")
    warmup: Literal["none", "ramp", "zero", "constant"] = Field("ramp", description="none, ramp, zero or constant")
    length: Whole = Field(24, ge=0, description="a whole number from 0 to updates")
    decay: Literal["constant", "cosine", "inverse_sqrt"] = Field(
        "constant", description="constant, cosine or inverse_sqrt"
    )
    seeds: Whole = Field(10, ge=1, le=200, description="a whole number from 1 to 200")

    @field_validator("length")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        """Refuse a warmup longer than the run."""
        if value > info.data.get("updates", value):
            raise ValueError(f"the run has {info.data['updates']} updates")
        return value


class Lab(Setup):
    """Parameters of the lab: the setup it opens with, and what is shown of it."""

    compare: bool = Field(True, description="True or False")
    probe: str = Field("", description=f"one of {', '.join(OFFERED)} (empty: none)")
    output_dir: Folder = Field("", description="a folder that can be written (empty: the project's)")

    @field_validator("probe")
    @classmethod
    def _is_probe(cls, value: str) -> str:
        """Refuse a probe that the lab has not."""
        if value and value not in OFFERED:
            known = ", ".join(OFFERED)
            raise StudyError(f"probe: got {value!r}; no such probe{nearest(value, OFFERED)}; takes {known}")
        return value
