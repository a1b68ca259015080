"""The claims under test: what is said, what it predicts, and the rule that decides, written before any run."""

import math
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from warmup_study.claims.conditions import OPPOSITE, TESTS, Record, Rule
from warmup_study.claims.prose import in_words
from warmup_study.errors import StudyError
from warmup_study.paths import NOTEBOOKS

Row = TypeVar("Row")


class Margin(Record):
    """The smallest effect of interest on one endpoint, in `unit`; `name` is the endpoint's in a sentence."""

    endpoint: str
    name: str
    value: float = Field(ge=0, allow_inf_nan=False)
    unit: str
    reason: str


class Claim(Record):
    """One claim in plain words, with its test. `margin` and `unit` are those of the endpoint where not given.

    `notebook` holds the verdict, `figure` is that which shows the evidence. `headline` is the place of one of the
    questions that are asked in a fixed sequence, 0 for all other claims. `estimate` names the effect that the verdict
    shows as its own, if not that of the first condition; `as_factor` says that it is tested as a logarithm and shown as
    a factor. `units` gives, by name or pattern, the units of those effects that have not the claim's: in words, or by
    the name of an endpoint with a margin.
    """

    id: str = Field(pattern=r"^[a-z]+(-[a-z]+)*$")
    title: str
    source: str
    text: str
    prediction: str
    test: str
    conditions: Rule
    endpoint: str
    margin: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    unit: str
    notebook: str
    figure: str
    headline: int = Field(default=0, ge=0)
    estimate: str | None = None
    as_factor: bool = False
    units: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("text", "prediction", "test", mode="before")
    @classmethod
    def _one_paragraph(cls, value: str) -> str:
        """Undo the line breaks of the table's source."""
        return " ".join(value.split())

    @model_validator(mode="before")
    @classmethod
    def _with_numbers(cls, row: Any) -> Any:
        """Put the number in place of an endpoint's name, or of "margin", the claim's own, wherever one bounds."""
        names = {name: least.value for name, least in _margins().items()}
        least = _margins().get(row.get("endpoint", ""))
        row = ({"margin": least.value, "unit": least.unit} if least else {}) | row
        own = _number(row.get("margin"), names)
        if own is not None:
            names["margin"] = math.log(own) if row.get("as_factor") else own
        return row | {"margin": own, "conditions": _resolved(row.get("conditions"), names)}

    @model_validator(mode="after")
    def _notebook_exists(self) -> Self:
        known = {*NOTEBOOKS, *_content()["planned"]}
        if self.notebook not in known:
            raise ValueError(f"no notebook is called {self.notebook!r}")
        return self

    @property
    def rule(self) -> str:
        """The rule in words."""
        return in_words(self.conditions, lambda name: self.margin_and_unit(name)[1])

    def scaled(self, factor: float) -> "Claim":
        """The claim under margins that are so many times as large."""
        return self.model_copy(update={"conditions": self.conditions.scaled(factor)})

    def margin_and_unit(self, effect: str) -> tuple[float, str]:
        """What an effect is held against (the bound that the rule sets, else its endpoint's margin), and its unit."""
        entry = next((unit for pattern, unit in self.units.items() if fnmatchcase(effect, pattern)), None)
        if entry is None:
            unit, least = self.unit, self.margin or 0.0
        elif entry in _margins():
            unit, least = margin(entry).unit, margin(entry).value
        else:
            unit, least = entry, 0.0
        mine = [leaf for leaf in self.conditions.leaves() if any(fnmatchcase(effect, name) for name in leaf.subjects)]
        held = [abs(leaf.bound) for leaf in mine if leaf.test in OPPOSITE and leaf.around == 0]
        return max(held, default=least), unit


def _resolved(node: Any, names: Mapping[str, float]) -> Any:
    if isinstance(node, dict):
        return {key: _number(node[key], names) if key in TESTS else _resolved(node[key], names) for key in node}
    return [_resolved(child, names) for child in node] if isinstance(node, list) else node


def _number(bound: Any, names: Mapping[str, float]) -> Any:
    """A number for the name of one; a minus before the name turns its sign."""
    if not isinstance(bound, str):
        return bound
    value = _named(bound.removeprefix("-"), names, "margin")
    return -value if bound.startswith("-") else value


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    """The parsed claims.toml."""
    return tomllib.loads(files(__package__).joinpath("claims.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _margins() -> dict[str, Margin]:
    return {row["endpoint"]: Margin.model_validate(row) for row in _content()["margin"]}


@lru_cache(maxsize=1)
def table() -> tuple[Claim, ...]:
    """The claims of all chapters that there are: the headline questions, the thread's others, those beyond it."""
    return tuple(row for row in whole_table() if row.notebook in NOTEBOOKS)


@lru_cache(maxsize=1)
def whole_table() -> tuple[Claim, ...]:
    """The same with the claims of chapters that are planned, whose rules stand before the chapter does."""
    return tuple(checked(row) for row in _content()["claim"])


def checked(row: Mapping[str, Any]) -> Claim:
    """A claim from its row in claims.toml. Raises StudyError in one line where the row is wrong."""
    try:
        return Claim.model_validate(dict(row))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise StudyError(f"claim {row.get('id')}: {place}: {problem['msg'].removeprefix('Value error, ')}") from None


def claim(name: str) -> Claim:
    """The claim of that id. Raises StudyError where there is none."""
    return _named(name, {row.id: row for row in table()}, "claim")


def margin(endpoint: str) -> Margin:
    """The smallest effect of interest on that endpoint. Raises StudyError where none was set."""
    return _named(endpoint, _margins(), "margin")


def _named(name: str, rows: Mapping[str, Row], kind: str) -> Row:
    if name not in rows:
        raise StudyError(f"{kind}: got {name!r}; takes one of {', '.join(rows)}")
    return rows[name]
