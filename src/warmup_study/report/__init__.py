"""The report: one self-contained page from executed notebooks, and the pieces that its notebook shows too."""

from warmup_study.report.answer import answer, reading
from warmup_study.report.beside import verdict_table
from warmup_study.report.build import build
from warmup_study.report.by_network import gain_table
from warmup_study.report.power import undecided_table
from warmup_study.report.results import Results
from warmup_study.report.summary import untested_table, verdicts_by_task

__all__ = [
    "Results",
    "answer",
    "build",
    "gain_table",
    "reading",
    "undecided_table",
    "untested_table",
    "verdict_table",
    "verdicts_by_task",
]
