"""README's generated stretches, from the published results: the answer, the verdicts, the notebooks and the speed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from warmup_study.chapters.packages import package_of
from warmup_study.claims.prose import listed
from warmup_study.errors import StudyError
from warmup_study.files import write_atomically
from warmup_study.paths import BATCH, NOTEBOOKS, Folders
from warmup_study.presentation.formatting import NO_BREAK, count_of, number, percent
from warmup_study.presentation.quantities import told_apart
from warmup_study.report import by_network
from warmup_study.report.answer import answer, chapter_name
from warmup_study.report.results import Results
from warmup_study.report.speed import Breakdown, measured
from warmup_study.report.summary import main_figure, own_effect, verdict_rows
from warmup_study.statistics.bootstrap import LEVEL

PAGE = "report/index.html"
LAB = "Try it yourself"
UNTRAINED = """\
The second, confirmatory round has not been trained yet; `make full` trains it, in hours on two cores. The findings of
the first, exploratory round are in [`data/results/round1/verdicts.json`](data/results/round1/verdicts.json)."""
FOUND = f"""\
Each claim links to its section of [the report]({PAGE}), a single HTML file. "Inconclusive" means that these runs
cannot decide, "depends" that kinds of networks, or forms of an optimiser, give opposite answers, "mixed" that one
part of the claim holds and another fails. The table gives each claim's main estimate, the report all of them."""


def refresh(root: Path) -> Path:
    """Write README's generated stretches anew from the published results under `root`; returns where it lies.

    Raises StudyError where README or a result cannot be read, or a stretch has lost its markers.
    """
    path = root / "README.md"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from error
    write_atomically(path, filled(text, Results.read(Folders(root, "full"))))
    return path


def filled(text: str, results: Results) -> str:
    """A README's text with every generated stretch as these results make it; all else stays as it is."""
    for name, lines in (("answer", _answer), ("verdicts", _verdicts), ("notebooks", _notebooks), ("bench", _speed)):
        text = _replaced(text, name, "\n".join(lines(results)))
    return text


def _replaced(text: str, name: str, content: str) -> str:
    """The text with other content between the markers of that name."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, _, rest = text.partition(opening)
    _, found, tail = rest.partition(closing)
    if not found or text.count(opening) + text.count(closing) > 2:
        raise StudyError(f"README.md: takes {opening} and then {closing}, once each")
    return f"{head}{opening}\n\n{content}\n\n{closing}{tail}"


def _answer(results: Results) -> Iterator[str]:
    """The sentences, their table and the main figure; that there is none before anything was trained."""
    yield answer(results) if results.tested else UNTRAINED
    yield from _by_network(results)
    figure = main_figure(results)
    if figure:
        yield from ("", f"![{figure.alt}](figures/{figure.key}.svg)")


def _by_network(results: Results) -> Iterator[str]:
    """The table below the answer; nothing where there is none."""
    rows = list(by_network.rows(results))
    if not rows:
        return
    yield from ("", f"{by_network.CAPTION}:", "")
    yield f"| network | {' | '.join(by_network.columns())} |"
    yield "|---|" + "---|" * len(by_network.columns())
    for row in rows:
        gains = " | ".join(": ".join(filter(None, gain)) for gain in row.gains)
        yield f"| {row.network} ({', '.join(row.tasks)}; n = {row.n}) | {gains} |"


def _verdicts(results: Results) -> Iterator[str]:
    """A row for each claim that was tested, decided ones first; a line where none was."""
    if not results.tested:
        yield f"None yet: {len(results.claims)} claims await the second round."
        return
    yield from (FOUND, "")
    yield f"| claim | verdict | estimate ({percent(LEVEL)} interval) | n | tasks |"
    yield "|---|---|---|--:|---|"
    for row in verdict_rows(results):
        claim, verdict = row["claim"], row["verdict"]
        size = own_effect(verdict)
        tasks = ", ".join(row["tasks"]) or "all tasks"
        word = "; ".join(filter(None, (verdict.verdict, told_apart(verdict))))
        yield f"| [{claim.title}]({PAGE}#claim-{claim.id}) | {word} | {size} | {verdict.n:,} | {tasks} |"
    if results.untested:
        waiting = sorted({row.notebook for row in results.untested}, key=BATCH.index)
        chapters = listed(list(map(chapter_name, waiting)))
        yield from ("", f"Not trained yet: {count_of(len(results.untested), 'claim')} of {chapters}.")


def _notebooks(results: Results) -> Iterator[str]:
    """A row for each notebook: its question, how long the published run took, its main figure."""
    cores = results.provenance.get("machine", {}).get("cores")
    where = f" on {cores} cores" if cores else ""
    yield from (f"| notebook | question | `full`{where} | figure |", "|---|---|--:|---|")
    for name in NOTEBOOKS:
        question = f"[{LAB if name == 'lab' else package_of(name).QUESTION}](notebooks/{name}.ipynb)"
        yield f"| `{name}` | {question} | {_time(results, name)} | {_figure(results, name)} |"


def _time(results: Results, name: str) -> str:
    """How long the notebook took in the published run; a dash where no time was kept, as of the report's own."""
    seconds = results.provenance.get("notebooks", {}).get(name, {}).get("wall_seconds")
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _figure(results: Results, name: str) -> str:
    """A link to the notebook's main figure; a dash where it has none."""
    figure = None if name == "lab" else results.figures.get(f"{name}-{package_of(name).MAIN_FIGURE}")
    return f"[{figure.title}](figures/{figure.key}.svg)" if figure else "–"


def _speed(results: Results) -> Iterator[str]:
    """The engine's speed as ratios, or a line that says there is no measurement."""
    bench = measured(results)
    if not bench.table:
        yield "`data/results/bench.json` has no such measurement yet; `make bench` makes one to publish."
        return
    yield f"Updates per second relative to the alternatives, all on {bench.place}. The floor is the rate that matrix"
    yield "products alone would allow. Every network uses its task's batch size."
    yield from ("", "| network | batch | × ordinary loops | × JAX | share of the floor's rate |")
    yield "|---|--:|--:|--:|--:|"
    for row in bench.table:
        ratios = " | ".join(map(number, (row.batch, row.over_loops, row.over_jax)))
        of_floor = "–" if row.of_floor is None else f"{100 * row.of_floor:.1f}{NO_BREAK}%"
        yield f"| {row.workload} | {ratios} | {of_floor} |"
    if bench.breakdown:
        yield from _where_time_goes(bench.breakdown)


def _where_time_goes(rows: Sequence[Breakdown]) -> Iterator[str]:
    """Shares of an update's time, and what an evaluation of the validation split takes."""
    parts = list(rows[0].shares)
    yield from ("", "Where an update's time goes, in percent, and the cost of an evaluation in updates:", "")
    yield f"| network | {' | '.join(parts)} | an evaluation |"
    yield "|---|" + "--:|" * (len(parts) + 1)
    for row in rows:
        shares = " | ".join(f"{100 * share:.0f}" for share in row.shares.values())
        yield f"| {row.workload} | {shares} | {number(row.evaluation_in_updates)} |"
