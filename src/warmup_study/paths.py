"""Where things lie: the notebooks' names and the output folders."""

import os
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from warmup_study.errors import StudyError

CHAPTERS = (
    "1_sgd_vs_adam",
    "2_zero_vs_ramped_warmup",
    "3_momentum",
    "4_early_examples",
    "5_attention_and_decay",
    "6_mechanism",
    "7_anchor_warmup",
    "8_how_long",
    "9_fine_tuning",
    "10_new_optimisers",
    "11_predictable",
)
"""The notebooks that test claims, in reading order."""

BATCH = (*CHAPTERS, "report")
"""What a batch run runs, in order: the chapters and the verdicts page."""

NOTEBOOKS = (*BATCH, "lab", "your_network")
"""All notebooks: those of the batch run, the interactive one, and the one for networks of the reader's own."""

Preset = Literal["smoke", "quick", "full"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
"""Sizes of the study, smallest first. They change sizes only, never rules."""


def project_root() -> Path:
    """Folder of the project: WARMUP_STUDY_ROOT, else the checkout around this file, else the current one."""
    named = os.environ.get("WARMUP_STUDY_ROOT")
    return Path(named).expanduser().resolve() if named else checkout() or Path.cwd()


def published_root() -> Path:
    """Folder of the notebooks and the published run: the checkout, wherever results are written; else the project's."""
    return checkout() or project_root()


def checkout() -> Path | None:
    """The checkout that this code is part of, wherever its results are written; None where it was installed alone."""
    return next((folder for folder in Path(__file__).resolve().parents if _is_checkout(folder)), None)


def _is_checkout(folder: Path) -> bool:
    """Tell whether `folder` holds the pyproject.toml of this project (another one may enclose an install)."""
    try:
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(content.get("project", {}).get("name") == "warmup-study")


@dataclass(frozen=True)
class Folders:
    """Output folders of one preset under one root. Nothing is created before something is written."""

    root: Path
    preset: str

    @classmethod
    def of(cls, output_dir: str, preset: str) -> "Folders":
        """Folders under `output_dir` ("" = the project). Raises StudyError where nothing can be written."""
        folder = output_dir or str(project_root())
        try:
            root = Path(folder).expanduser().resolve()
            _try_writing(root)
        except (OSError, ValueError, RuntimeError) as error:  # also a null byte and an unknown ~user
            reason = getattr(error, "strerror", None) or error
            raise StudyError(f"cannot write to the folder {folder!r}: {reason}") from error
        return cls(root, preset)

    @property
    def results(self) -> Path:
        """Runs (parquet), verdicts.json and provenance.json."""
        return self.root / "data" / "results" / self.preset

    @property
    def figures(self) -> Path:
        """SVG figures and their sidecars; the published (full) ones lie at the top."""
        top = self.root / "figures"
        return top if self.preset == "full" else top / self.preset

    @property
    def report(self) -> Path:
        """The rendered page (a file)."""
        return self.root / "report" / ("index.html" if self.preset == "full" else f"{self.preset}.html")

    @property
    def executed(self) -> Path:
        """Executed notebooks."""
        return self.root / "data" / "executed" / self.preset

    @property
    def cache(self) -> Path:
        """Finished work that a later run reuses, whatever its preset."""
        return self.root / "data" / "cache"


def _try_writing(folder: Path) -> None:
    """Raise OSError unless `folder` can be made and written: tried, as permission bits mislead root."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    with tempfile.TemporaryFile(dir=nearest):
        pass
