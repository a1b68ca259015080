"""How fast the engine is, for the methods part: ratios and figure of the published benchmark, if there is one."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from warmup_study.errors import StudyError
from warmup_study.report.results import Results, Sidecar, read_json
from warmup_study.report.summary import drawn

KEY = "bench"  # the figure's stem: it belongs to no chapter and to no preset


class Row(BaseModel):
    """One network's speed as ratios; None where the peer was not there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workload: str
    batch: int | None = None
    over_loops: float
    over_jax: float | None = None
    of_floor: float | None = None


class Breakdown(BaseModel):
    """Shares of an update's time by part, in the order to show, and what an evaluation takes in updates."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workload: str
    shares: dict[str, float]
    evaluation_in_updates: float


class Bench(BaseModel):
    """What the page reads of bench.json; an older file has no table and shows nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    table: tuple[Row, ...] = ()
    breakdown: tuple[Breakdown, ...] = ()
    machine: dict[str, str | int | None] = {}

    @property
    def place(self) -> str:
        """The machine in words."""
        cores = f"{self.machine.get('cores', '?')} cores"
        return ", ".join(str(part) for part in (self.machine.get("cpu"), cores, self.machine.get("system")) if part)


def speed_table(results: Results) -> str:
    """HTML table of the engine's speed; empty where it was not measured. StudyError on a damaged file."""
    bench = measured(results)
    if not bench.table:
        return ""
    return drawn("speed.html.j2", rows=bench.table, breakdown=bench.breakdown, machine=bench.place)


def measured(results: Results) -> Bench:
    """What was measured; no rows where nothing was. StudyError on a damaged file."""
    path = results.folders.results.parent / f"{KEY}.json"
    try:
        return Bench.model_validate(read_json(path, {}))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"]))
        raise StudyError(f"report: {path} has a wrong entry: {field}") from error


def speed_figure(results: Results) -> Sidecar | None:
    """The words of the figure of speed; None where the drawing or its words are missing."""
    words = read_json(_figure(results, ".json"), {})
    if not words or not _figure(results, ".svg").exists():
        return None
    return Sidecar.model_validate({"preset": "", "name": "", **words, "notebook": KEY})


def speed_drawing(results: Results) -> str:
    """The figure of speed as SVG."""
    return _figure(results, ".svg").read_text(encoding="utf-8")


def _figure(results: Results, ending: str) -> Path:
    """A file of the figure, which lies at the top of the figures' folder whatever the preset."""
    return results.folders.root / "figures" / f"{KEY}{ending}"
