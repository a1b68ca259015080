"""The gate on typed numbers: what reads like a result must come from the results.

Prose gets its numbers at run time, from `display(Markdown(...))` of values that were computed. So a number that
somebody *typed*, in a Markdown cell or in a text of a code cell, is refused where it looks like a result: a decimal
fraction, a percentage, a factor ("3×", "10-fold"), a power ("1e-3") or a count of runs ("n = 20"). Free are

- formulas, code spans and code blocks, link targets, quoted addresses;
- citations, versions, and places: "arXiv:1706.02677", "Python 3.11", "section 2.1";
- numbers of the claims' table (predictions, rules, margins), which was written before any run;
- the few constants of `CONSTANTS`.
"""

import ast
import re
from collections.abc import Iterable

from nbformat import NotebookNode

from warmup_study.claims.table import table as claims_table
from warmup_study.errors import StudyError

CONSTANTS = frozenset(
    {
        "0.9",
        "0.95",
        "0.98",
        "0.99",
        "0.999",  # usual momenta and betas; confidence levels
        "5 %",  # the level of the tests
        "95 %",
        "100 %",
    }
)
_NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]+\$|\]\([^)]*\)|<?https?://\S+"
    r"|arXiv:?\s*\d{4}\.\d{4,5}|\bdoi:\S+|\d+(?:\.\d+){2,}"
    r"|\b(?:Python|version|section|chapter|table|figure|equation)s?\s+v?\d+(?:\.\d+)*",
    re.DOTALL | re.IGNORECASE,
)
_RESULT = re.compile(
    r"\bn\s*=\s*\d+"
    r"|(?<![\w.])[−-]?\d+(?:[.,]\d+)?(?:e[−-]?\d+)?\s?%"
    r"|(?<![\w.])\d+(?:\.\d+)?\s?(?:×|-fold\b|times\b)"
    r"|(?<![\w.])[−-]?\d+\.\d+(?:e[−-]?\d+)?"
    r"|(?<![\w.])\d+e[−-]?\d+"
)
_PARAMETERS = {"parameters", "injected-parameters"}


def check_typed_numbers(notebooks: dict[str, NotebookNode]) -> None:
    """Raise StudyError, naming the notebook and the number, for the first typed number that looks like a result."""
    free = CONSTANTS | _written_before_any_run()
    for name, notebook in notebooks.items():
        for text in _typed_texts(notebook):
            for found in typed_results(text, free):
                raise StudyError(f"report: {name} has the typed number {found!r}: take it from the results")


def typed_results(text: str, free: Iterable[str] = CONSTANTS) -> list[str]:
    """Numbers in `text` that look like results and are not in `free`."""
    found = [_plain(match) for match in _RESULT.findall(_NOT_PROSE.sub(" ", text))]
    allowed = {_plain(number) for number in free}
    return [number for number in found if number not in allowed]


def _plain(number: str) -> str:
    """One spelling for one number: no spaces, a plain hyphen for minus."""
    return re.sub(r"\s+", "", number).replace("−", "-")


def _written_before_any_run() -> frozenset[str]:
    """Numbers of the claims' table."""
    texts = [f"{row.text} {row.prediction} {row.test} {row.rule} {row.margin}" for row in claims_table()]
    return frozenset(number for text in texts for number in _RESULT.findall(text))


def _typed_texts(notebook: NotebookNode) -> list[str]:
    """Markdown cells, and the texts in code cells other than the parameters."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            texts.append(cell.source)
        elif cell.cell_type == "code" and not _PARAMETERS & set(cell.metadata.get("tags", [])):
            texts += _literals(cell.source)
    return texts


def _literals(source: str) -> list[str]:
    """Texts written in a piece of code, the fixed parts of f-strings included; none where it is no plain Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]
