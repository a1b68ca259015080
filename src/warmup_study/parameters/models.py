"""What each notebook takes, field by field; a field's description tells the user."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Literal, TypeVar, get_args

import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from warmup_study import optimizers, tasks
from warmup_study.paths import Folders, Preset, StudyError
from warmup_study.probes import PROBES

Number = TypeVar("Number", int, float)

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(\d{1,5})/?")


def _spelled_number(value: object) -> object:
    """Turn text such as "1e3" into its number, refuse truth values, and leave the rest to pydantic."""
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _split_numbers(value: object) -> object:
    """Turn "0.1, 0.3" (or one number) into a tuple; "" into an empty one."""
    if isinstance(value, str):
        return tuple(part for part in value.split(",")) if value.strip() else ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _ascending(values: tuple[Number, ...]) -> tuple[Number, ...]:
    """Sort, and drop what was named twice."""
    return tuple(sorted(set(values)))


def _writable(value: str) -> str:
    """Try a folder."""
    try:
        Folders.of(value, preset="quick")
    except StudyError as error:
        raise ValueError(str(error)) from error
    return value


def _loaded(name: str) -> str:
    """Load the task of that name, so that a wrong one fails here."""
    _load_task(name)
    return name


Whole = Annotated[int, BeforeValidator(_spelled_number)]
Positive = Annotated[float, BeforeValidator(_spelled_number), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_spelled_number), Field(gt=0, lt=1)]
Skew = Annotated[float, BeforeValidator(_spelled_number), Field(gt=0, le=1)]
Size = Annotated[int, BeforeValidator(_spelled_number), Field(ge=1, le=1024)]
Rates = Annotated[tuple[Positive, ...], BeforeValidator(_split_numbers), AfterValidator(_ascending)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(_split_numbers), AfterValidator(_ascending)]
Kept = Annotated[float, BeforeValidator(_spelled_number), Field(ge=0, lt=1)]
Folder = Annotated[str, AfterValidator(_writable)]


class Parameters(BaseModel):
    """What every chapter takes. The description of a field says what it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset = Field("quick", description="smoke, quick or full")
    task: str = Field(
        "",
        description=f"any of {', '.join(tasks.names())}, module:function, joined by commas (empty: the preset's)",
    )
    seeds: Whole = Field(0, ge=0, le=10_000, description="a whole number from 0 (the preset's) to 10000")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto, cpu or cuda")
    scheduler: str = Field("", description="tcp://host:port of a Dask scheduler (empty: this machine)")
    output_dir: Folder = Field("", description="a folder that can be written (empty: the project's)")

    @field_validator("task")
    @classmethod
    def _tasks_load(cls, value: str) -> str:
        """Load every task named, so that a wrong one fails here."""
        names = split_tasks(value)
        if len(set(names)) < len(names):
            raise ValueError("a task is named twice")
        for name in names:
            _load_task(name)
        return value

    @field_validator("device")
    @classmethod
    def _device_exists(cls, value: str) -> str:
        """Refuse a GPU that is not there."""
        if value == "cuda" and not torch.cuda.is_available():
            raise ValueError("this machine has no CUDA device that torch can use")
        return value

    @field_validator("scheduler")
    @classmethod
    def _is_address(cls, value: str) -> str:
        """Accept the addresses that Dask prints."""
        match = _ADDRESS.fullmatch(value)
        if value and not (match and 0 < int(match[3]) < 65_536):
            raise ValueError("this is no such address")
        return value

    @property
    def folders(self) -> Folders:
        """Where this run reads and writes."""
        return Folders.of(self.output_dir, self.preset)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks asked for; empty for the preset's."""
        return split_tasks(self.task)


class GridParameters(Parameters):
    """Parameters of the chapters that train over a grid of learning rates."""

    updates: Whole = Field(0, ge=0, le=100_000, description="a whole number from 0 (the preset's) to 100000")
    warmup: Whole = Field(0, ge=0, le=100_000, description="a whole number from 0 (the preset's) to updates")
    lrs: Rates = Field((), description="positive numbers joined by commas (empty: the preset's grid)")

    @field_validator("warmup")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        """Refuse a ramp longer than the run."""
        updates = info.data.get("updates", 0)
        if updates and value > updates:
            raise ValueError(f"the run has {updates} updates")
        return value


class SgdVsAdam(GridParameters):
    """Parameters of the first chapter."""

    batch: Whole = Field(0, ge=0, le=1024, description="a whole number from 0 (the task's) to 1024")


class ZeroVsRamped(GridParameters):
    """Parameters of the second chapter."""

    beta2: Share = Field(0.999, description="a number above 0 and below 1")


class Momentum(GridParameters):
    """Parameters of the third chapter."""

    momentum: Share = Field(0.9, description="a number above 0 and below 1")
    batches: Sizes = Field((), description="whole numbers from 1 to 1024 joined by commas (empty: the preset's)")


class EarlyExamples(Parameters):
    """Parameters of the fourth chapter."""

    epochs: Whole = Field(0, ge=0, le=1000, description="a whole number from 0 (the preset's) to 1000")
    skew: Skew = Field(1.0, description="a number above 0 and up to 1")
    lrs: Rates = Field((), description="positive numbers joined by commas (empty: the preset's)")


class AttentionAndDecay(GridParameters):
    """Parameters of the fifth chapter. ``task`` names where warmup meets decay; attention has pairs of its own."""


class Mechanism(GridParameters):
    """Parameters of the sixth chapter."""


class AnchorWarmup(GridParameters):
    """Parameters of the seventh chapter."""

    weight: Positive = Field(0.01, description="a positive number")


class Setup(BaseModel):
    """What the lab trains from many seeds: a task, a rule, a schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Annotated[str, AfterValidator(_loaded)] = Field(
        "digits-mlp", description=f"one of {', '.join(tasks.names())}, or module:function"
    )
    optimizer: optimizers.Name = Field("adam", description=f"one of {', '.join(get_args(optimizers.Name))}")
    momentum: Kept = Field(0.9, description="a number from 0 to below 1")
    beta1: Kept = Field(0.9, description="a number from 0 to below 1")
    beta2: Kept = Field(0.999, description="a number from 0 to below 1")
    lr: Positive = Field(0.03, description="a positive number")
    updates: Whole = Field(150, ge=2, le=2000, description="a whole number from 2 to 2000")
    warmup: Literal["none", "ramp", "zero", "constant"] = Field("ramp", description="none, ramp, zero or constant")
    length: Whole = Field(40, ge=0, description="a whole number from 0 to updates")
    decay: Literal["constant", "cosine", "inverse_sqrt"] = Field(
        "constant", description="constant, cosine or inverse_sqrt"
    )
    seeds: Whole = Field(20, ge=1, le=200, description="a whole number from 1 to 200")

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
    probe: str = Field("", description=f"one of {', '.join(PROBES)} (empty: none)")
    output_dir: Folder = Field("", description="a folder that can be written (empty: the project's)")

    @field_validator("probe")
    @classmethod
    def _is_probe(cls, value: str) -> str:
        """Refuse a probe that nobody wrote."""
        if value and value not in PROBES:
            raise ValueError(f"no probe is called {value!r}{nearest(value, PROBES)}")
        return value


def split_tasks(names: str) -> tuple[str, ...]:
    """Names joined by commas, one by one."""
    return tuple(name.strip() for name in names.split(",")) if names.strip() else ()


def _load_task(name: str) -> None:
    """Load one task; whatever the user's own module raises becomes a reason."""
    if ":" not in name and name not in tasks.names():
        raise ValueError(f"no task is called {name!r}{nearest(name, tasks.names())}")
    try:
        tasks.load(name)
    except StudyError as error:
        raise ValueError(str(error).removeprefix("task: ")) from error
    except (Exception, SystemExit) as error:  # the user's module may do anything when it is imported
        raise ValueError(f"{name} failed with {type(error).__name__}: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was probably meant, or nothing."""
    match = get_close_matches(name, list(known), n=1)
    return f", did you mean {match[0]}?" if match else ""
