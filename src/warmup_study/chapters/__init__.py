"""Chapters: what a notebook runs, where its results go, and which verdicts follow. A notebook only calls and shows."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from IPython.display import Markdown, display
from pandas.io.formats.style import Styler
from pydantic import ValidationError

from warmup_study.chapters import judging
from warmup_study.chapters.design import device_of
from warmup_study.chapters.design_table import design_table
from warmup_study.chapters.packages import design_of, package_of
from warmup_study.claims.table import table as claims_table
from warmup_study.claims.verdict import Verdict
from warmup_study.errors import StudyError
from warmup_study.parameters import CommonParameters, validate
from warmup_study.paths import BATCH, CHAPTERS, Folders
from warmup_study.presentation.canvas import StudyFigure
from warmup_study.presentation.display import say
from warmup_study.running import provenance, sanity_checks, sweep, tables
from warmup_study.running.store import Cache
from warmup_study.training.experiment import Experiment


@dataclass(frozen=True)
class Chapter:
    """One notebook's run: validated parameters, what they make it train, and the tests that belong to its name."""

    name: str
    parameters: CommonParameters
    experiments: tuple[Experiment, ...]
    started: float

    @property
    def folders(self) -> Folders:
        """Where results and figures are written."""
        return self.parameters.folders

    def design(self) -> Styler:
        """What will run, part by part and task by task, and how much that is in all."""
        return design_table(self.experiments, design_of(self.name).PARTS)

    def run(self) -> pd.DataFrame:
        """The table of runs, trained now where neither the cache nor the published tables hold them, and written.

        Controls come before any training: raises ``StudyError`` where one of them fails.
        """
        cache = self.folders.cache
        runs, seconds = sweep.timed_sweep(
            self.experiments,
            cache,
            scheduler=self.parameters.scheduler,
            before=self._prepare,
        )
        runs = tables.write(self.folders.results, self.name, runs, Cache(cache))
        wall, seeds = time.perf_counter() - self.started, map(int, runs["seed"].unique())
        provenance.record(self.folders, self.name, seeds, wall_seconds=wall, training_seconds=seconds)
        return runs

    def _prepare(self) -> None:
        """Before any training: write down by which rules it will be judged, and see that the controls hold.

        The report judges what chapters share, and trains nothing itself: it is registered with them.
        """
        provenance.register(self.folders, self.name, _seeds_drawn(self.experiments))
        shared = [experiment for experiment in self.experiments if experiment.part in tables.SHARED]
        if shared:
            provenance.register(self.folders, BATCH[-1], _seeds_drawn(shared))
        sanity_checks.check(self.folders.cache, device_of(self.parameters))

    def judge(self, runs: pd.DataFrame) -> list[Verdict]:
        """The chapter's verdicts, adjusted for all claims tested so far and entered in verdicts.json."""
        return judging.verdicts(self.folders, self.name, runs)

    def rules(self) -> Styler:
        """The chapter's claims with the rules that decide them, as the table of claims states them."""
        columns = ["id", "source", "rule", "margin", "unit"]
        mine = [row for row in claims_table() if row.notebook == self.name]
        table = pd.DataFrame([[getattr(row, name) for name in columns] for row in mine], columns=columns)
        return table.style.hide(axis="index").format({"margin": "{:g}"}, na_rep="none")

    def account(self, runs: pd.DataFrame) -> None:
        """Say what was run: tasks, runs, seeds and divergences."""
        diverged = int((runs["status"] == "diverged").sum())
        say(
            f"{len(runs):,} runs on {', '.join(runs['task'].unique())}, with {runs['seed'].nunique()} seeds; "
            f"{diverged:,} runs diverged."
        )

    def show(self, figure: StudyFigure, name: str, narrow: StudyFigure | None = None) -> None:
        """Save a figure under the chapter's name, and show it, wherever in a cell this stands.

        ``narrow``: the same figure as a phone can show it; it goes into the report alone.
        """
        display(figure.save(self.folders, self.name, name, narrow))


def _seeds_drawn(experiments: Iterable[Experiment]) -> set[int]:
    return {run.seed for experiment in experiments for chunk in experiment.chunks() for run in chunk.runs}


def checked_parameters(notebook: str, namespace: Mapping[str, Any]) -> CommonParameters:
    """The parameters of a chapter's notebook, checked. Raises StudyError in one line where one is wrong."""
    if notebook not in CHAPTERS:
        raise StudyError(f"notebook: got {notebook!r}; takes one of {', '.join(CHAPTERS)}")
    model: type[CommonParameters] = design_of(notebook).Parameters
    return validate(model, namespace)


def contents() -> Markdown:
    """The notebooks of the batch run, in reading order, with what each asks: a table of links."""
    rows = [f"| [{name}]({name}.ipynb) | {package_of(name).QUESTION} |" for name in BATCH]
    return Markdown("\n".join(["| notebook | question |", "|---|---|", *rows]))


def open_chapter(name: str, namespace: Mapping[str, Any]) -> Chapter:
    """The chapter a notebook belongs to, with its parameters checked: ``open_chapter("1_...", globals())``.

    Raises ``StudyError``, in one line, for any parameter that is unknown, of the wrong type or out of range, and for
    parameters that are right one by one but make no design together.
    """
    parameters = checked_parameters(name, namespace)
    try:
        experiments = tuple(design_of(name).experiments(parameters))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = "".join(f"{part}: " for part in problem["loc"][:1])
        raise StudyError(f"{place}{problem['msg'].removeprefix('Value error, ')}") from None
    return Chapter(name, parameters, experiments, time.perf_counter())
