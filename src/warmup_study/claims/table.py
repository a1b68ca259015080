"""The claims under test: what is said, what it predicts, and the rule that decides, written before any run."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from warmup_study.errors import StudyError
from warmup_study.paths import NOTEBOOKS

__all__ = ["Claim", "Margin", "claim", "margin", "table"]

Row = TypeVar("Row")


class _Record(BaseModel):
    """A frozen row of the table in which nothing may be left over or empty."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1, str_strip_whitespace=True)


class Margin(_Record):
    """The smallest effect of interest on one endpoint, in `unit`."""

    endpoint: str
    value: float = Field(ge=0, allow_inf_nan=False)
    unit: str
    reason: str


class Claim(_Record):
    """One claim in plain words, with its test. `margin` is None where the rule needs none.

    `notebook` holds the verdict; the notebooks in `also` add evidence of their own.
    """

    id: str = Field(pattern=r"^[a-z]+(-[a-z]+)*$")
    title: str
    source: str
    text: str
    prediction: str
    test: str
    rule: str
    endpoint: str
    margin: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    unit: str
    notebook: str
    also: tuple[str, ...] = ()

    @field_validator("text", "prediction", "test", "rule", mode="before")
    @classmethod
    def _one_paragraph(cls, value: str) -> str:
        """Undo the line breaks of the table's source."""
        return " ".join(value.split())

    @model_validator(mode="after")
    def _notebooks_exist(self) -> Self:
        """Refuse a notebook that the study does not have."""
        unknown = {self.notebook, *self.also} - set(NOTEBOOKS)
        if unknown:
            raise ValueError(f"claim {self.id}: no notebook is called {sorted(unknown)}")
        return self


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    """The parsed claims.toml."""
    return tomllib.loads(files(__package__).joinpath("claims.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def table() -> tuple[Claim, ...]:
    """Every claim, the thread's first, then the literature's, each in the order of the notebooks."""
    return tuple(Claim.model_validate(row) for row in _content()["claim"])


def claim(name: str) -> Claim:
    """The claim of that id. Raises StudyError where there is none."""
    return _named(name, {row.id: row for row in table()}, "claim")


def margin(endpoint: str) -> Margin:
    """The smallest effect of interest on that endpoint. Raises StudyError where none was set."""
    rows = (Margin.model_validate(row) for row in _content()["margin"])
    return _named(endpoint, {row.endpoint: row for row in rows}, "margin")


def _named(name: str, rows: Mapping[str, Row], kind: str) -> Row:
    """Pick a row by its name."""
    if name not in rows:
        raise StudyError(f"{kind}: got {name!r}; takes one of {', '.join(rows)}")
    return rows[name]
