"""The parameters of every notebook: read from its namespace and checked before any training.

Values may arrive as text (papermill reads ``1e-3`` in a YAML file as text); text that spells a number is taken as
that number. Whatever is wrong ends in one :class:`StudyError` line: the parameter's name, what it got, what it takes.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from warmup_study import tasks
from warmup_study.errors import StudyError, first_problem
from warmup_study.parameter_names import history, injected, refuse_unknown
from warmup_study.paths import Folders, Preset

Number = TypeVar("Number", int, float)
Model = TypeVar("Model", bound=BaseModel)

_SCHEDULER = "WARMUP_STUDY_SCHEDULER"  # the environment variable that stands in for an empty `scheduler`
MOST_SEEDS = 10_000
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):(\d{1,5})/?")


def spelled_number(value: object) -> object:
    """Turn text such as "1e3" into its number, refuse truth values, and leave the rest to pydantic."""
    if isinstance(value, bool):
        raise ValueError("a boolean is not a number")
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


Whole = Annotated[int, BeforeValidator(spelled_number)]
Positive = Annotated[float, BeforeValidator(spelled_number), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(spelled_number), Field(gt=0, lt=1)]
Skew = Annotated[float, BeforeValidator(spelled_number), Field(gt=0, le=1)]
Size = Annotated[int, BeforeValidator(spelled_number), Field(ge=1, le=1024)]
Rates = Annotated[tuple[Positive, ...], BeforeValidator(_split_numbers), AfterValidator(_ascending)]
BatchSizes = Annotated[tuple[Size, ...], BeforeValidator(_split_numbers), AfterValidator(_ascending)]
Folder = Annotated[str, AfterValidator(_writable)]


class CommonParameters(BaseModel):
    """What every notebook of the batch run takes. The description of a field says what it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset = Field("quick", description="smoke, quick or full")
    task: str = Field(
        "",
        description="names of tasks or module:function, joined by commas (empty: the preset's)",
    )
    seeds: Whole = Field(0, ge=0, le=MOST_SEEDS, description=f"a whole number from 0 (the preset's) to {MOST_SEEDS}")
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
            tasks.load(name)
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
            raise ValueError("this is not such an address")
        return value

    @property
    def folders(self) -> Folders:
        """Where this run reads and writes."""
        return Folders.of(self.output_dir, self.preset)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks asked for; empty for the preset's."""
        return split_tasks(self.task)


class GridParameters(CommonParameters):
    """What every chapter takes."""

    lrs: Rates = Field((), description="positive numbers joined by commas (empty: the preset's grids)")


class RunParameters(GridParameters):
    """What the chapters take whose runs and warmups have one length in updates."""

    updates: Whole = Field(0, ge=0, le=100_000, description="a whole number from 0 (the preset's) to 100000")
    warmup: Whole = Field(0, ge=0, le=100_000, description="a whole number from 0 (the preset's) to updates")

    @field_validator("warmup")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        """Refuse a ramp longer than the run."""
        updates = info.data.get("updates", 0)
        if updates and value > updates:
            raise ValueError(f"the run has {updates} updates")
        return value


def split_tasks(names: str) -> tuple[str, ...]:
    """Names joined by commas, one by one."""
    return tuple(name.strip() for name in names.split(",")) if names.strip() else ()


def validate(model: type[Model], namespace: Mapping[str, Any]) -> Model:
    """Check a notebook's parameters, found in its `namespace` (``globals()``), before anything runs.

    In a notebook, the names given are those that papermill's own cell assigns; in a plain mapping every key is.
    Raises StudyError for an unknown name, and for a value of the wrong type or out of range.
    """
    refuse_unknown(_given_names(namespace), list(model.model_fields))
    values = {name: namespace[name] for name in model.model_fields if name in namespace}
    takes_scheduler = "scheduler" in model.model_fields
    borrowed = os.environ.get(_SCHEDULER, "") if takes_scheduler and values.get("scheduler", "") == "" else ""
    values |= {"scheduler": borrowed} if borrowed else {}
    try:
        return checked(model, values)
    except StudyError as error:
        line = str(error)
        named = borrowed and line.startswith("scheduler: ")
        raise StudyError(_SCHEDULER + line.removeprefix("scheduler") if named else line) from None


def checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """The model of these values. Raises StudyError for the first that is of the wrong type or out of range."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise StudyError(first_problem(error, model, values)) from None


def _given_names(namespace: Mapping[str, Any]) -> Iterable[str]:
    """Names that somebody gave: in a kernel's namespace those of papermill's cells, in a plain mapping all."""
    cells = history(namespace)
    return namespace if cells is None else injected(cells)
