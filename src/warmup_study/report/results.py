"""What a finished run left behind, read once for the page and for the verdicts notebook."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from warmup_study.claims import ledger
from warmup_study.claims.table import Claim
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import ALL, Verdict
from warmup_study.errors import StudyError
from warmup_study.paths import Folders, published_root
from warmup_study.presentation.canvas import NARROW


class Sidecar(BaseModel):
    """What stands beside a figure: its words, its maker and where it belongs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str
    alt: str
    caption: str
    maker: str
    preset: str
    notebook: str
    name: str

    @property
    def key(self) -> str:
        """Stem of the figure's file."""
        return f"{self.notebook}-{self.name}"


@dataclass(frozen=True)
class Results:
    """Verdicts, provenance and figure sidecars of one preset, beside the table of all claims."""

    folders: Folders
    claims: tuple[Claim, ...]
    verdicts: tuple[Verdict, ...]
    provenance: dict[str, Any]
    figures: dict[str, Sidecar]

    @classmethod
    def read(cls, folders: Folders) -> "Results":
        """Read what exists; what does not exist yet is empty. Raises StudyError on a damaged file."""
        provenance = read_json(folders.results / "provenance.json", {})
        return cls(folders, claims_table(), tuple(ledger.read(folders)), provenance, read_sidecars(folders))

    def svg(self, figure: Sidecar) -> str:
        """A figure's drawing. Raises StudyError where its file is gone."""
        try:
            return (self.folders.figures / f"{figure.key}.svg").read_text(encoding="utf-8")
        except OSError as error:
            raise StudyError(f"report: the figure {figure.key}.svg cannot be read: {error.strerror}") from error

    def narrow_svg(self, figure: Sidecar) -> str:
        """A figure's drawing for narrow screens; empty where there is none."""
        path = self.folders.figures / f"{figure.key}{NARROW}.svg"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def of_claim(self, claim: str) -> tuple[Verdict, ...]:
        """Verdicts on a claim, the one over all tasks first, then those of its regimes."""
        mine = [verdict for verdict in self.verdicts if verdict.id == claim]
        return tuple(sorted(mine, key=lambda verdict: (verdict.task != ALL, bool(verdict.regime))))

    def overall(self, claim: str) -> Verdict | None:
        """The verdict on a claim over all tasks, None where it was not run."""
        return next(iter(self.of_claim(claim)), None)

    def of_regimes(self, claim: str) -> list[Verdict]:
        """Verdicts on a claim over the tasks of each kind of network."""
        return [verdict for verdict in self.of_claim(claim) if verdict.task == ALL and verdict.regime]

    def tasks(self, claim: str, regime: str = "") -> list[str]:
        """Names of the tasks, of one kind or of all, that tested a claim; one that offers no case is none of them."""
        by_task = [verdict for verdict in self.of_claim(claim) if verdict.task != ALL]
        if not by_task:
            return self._tasks_together(claim)
        rows = [verdict for verdict in by_task if regime in ("", verdict.regime)]
        return [verdict.task for verdict in rows if verdict.estimate is not None]

    def _tasks_together(self, claim: str) -> list[str]:
        """The tasks behind a claim that is judged over all at once: those that its chapter trained."""
        overall = self.overall(claim)
        path = self.folders.results / f"{overall.notebook}.parquet" if overall else Path()
        return sorted(pd.read_parquet(path, columns=["task"])["task"].unique()) if path.is_file() else []

    @property
    def tested(self) -> Sequence[Claim]:
        """Claims that have a verdict, in the table's order."""
        return [claim for claim in self.claims if self.overall(claim.id)]

    @property
    def untested(self) -> Sequence[Claim]:
        """Claims without a verdict, in the table's order."""
        return [claim for claim in self.claims if not self.overall(claim.id)]


def published() -> "Results":
    """The published results, those of the project's full run; empty where it has not been trained yet."""
    return Results.read(Folders(published_root(), "full"))


def read_json(path: Path, missing: Any) -> Any:
    """Content of a JSON file, or `missing` where there is no such file."""
    if not path.exists():
        return missing
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise StudyError(f"report: {path.name} cannot be read: {error}") from error


def read_numbers(folders: Folders) -> dict[str, str]:
    """Where the numbers of each figure lie, as seen from the page, by the stems of the figures' files."""
    top = folders.root / "figures"
    found = [*folders.figures.glob("*-*.csv"), *top.glob("bench.csv")]
    return {path.stem: f"../{path.relative_to(folders.root).as_posix()}" for path in sorted(found)}


def read_sidecars(folders: Folders) -> dict[str, Sidecar]:
    """What stands beside the figures, by the stems of their files. Raises StudyError on a damaged file."""
    sidecars = [_sidecar(path) for path in sorted(folders.figures.glob("*-*.json"))]  # bench.json is no chapter's
    return {sidecar.key: sidecar for sidecar in sidecars}


def _sidecar(path: Path) -> Sidecar:
    """A figure's sidecar, checked."""
    try:
        return Sidecar.model_validate(read_json(path, {}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise StudyError(f"report: {path.name} has a wrong entry: {field}: {first['msg']}") from error
