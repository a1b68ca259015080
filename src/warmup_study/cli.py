"""The command ``warmup-study``, which make and dodo.py call."""

import argparse
import contextlib
import os
import sys

from warmup_study import reproduce, tasks
from warmup_study.chapters import judging
from warmup_study.chapters.your_network.design import Parameters
from warmup_study.claims.table import table
from warmup_study.console import INTERRUPTED, forgive_encodings
from warmup_study.errors import StudyError
from warmup_study.paths import PRESETS, Folders
from warmup_study.report import build
from warmup_study.report.network import advise
from warmup_study.report.readme import refresh

ADVISED = {"optimizer": "adam", "updates": 0, "batch": 0, "seeds": 0, "lrs": "", "device": "auto", "scheduler": ""}
"""Parameters of the notebook `your_network` that the command passes on, with their defaults."""


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; an error of the study is one line on stderr and exit status 1."""
    forgive_encodings()
    options = _parser().parse_args(arguments)
    try:
        options.action(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except StudyError as error:
        print(f"warmup-study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("warmup-study: interrupted; what was trained is kept, and the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    """Sub-commands and their options."""
    parser = argparse.ArgumentParser(prog="warmup-study", description="The warmup study's own commands.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, action, purpose in (
        ("report", _report, "build the page from the executed notebooks and their results"),
        ("verdicts", _verdicts, "recompute verdicts.json from the tables of runs, and list it"),
        ("reproduce", _reproduce, "retrain a random part of the results, and compare"),
    ):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("--preset", choices=PRESETS, default="quick")
        command.add_argument("--output-dir", default="", help="folder of the results (default: the project)")
        command.set_defaults(action=action)
    command.add_argument(
        "--share", type=_share, default=0.05, help="share to retrain, above 0 and at most 1 (default: 0.05)"
    )
    command.add_argument("--seed", type=_seed, default=0, help="random seed that picks the part (default: 0)")
    commands.add_parser("claims", help="list the claims under test").set_defaults(action=_claims)
    commands.add_parser("tasks", help="list the built-in tasks").set_defaults(action=_tasks)
    readme = commands.add_parser("readme", help="update README from the published results")
    readme.add_argument("--output-dir", default="", help="folder of README and the results (default: the project)")
    readme.set_defaults(action=_readme)
    advise = commands.add_parser("advise", help="answer for one network: whether, when and how long to warm up")
    advise.add_argument("task", help="a built-in task, or module:function of your own")
    advise.add_argument("--preset", choices=("smoke", "quick"), default="quick")
    advise.add_argument("--output-dir", default="", help="folder for results (default: the project)")
    for name, default in ADVISED.items():
        accepted = str(Parameters.model_fields[name].description).replace("%", "%%")
        told = f"{accepted} (default: {default})" if default else accepted
        advise.add_argument(f"--{name}", type=type(default), default=default, help=told)
    advise.set_defaults(action=_advise)
    return parser


def _report(options: argparse.Namespace) -> None:
    """Build the page and print where it is."""
    print(build(Folders.of(options.output_dir, options.preset)))


def _verdicts(options: argparse.Namespace) -> None:
    """Print a line per recomputed verdict: claim, task, verdict."""
    for row in judging.recompute(Folders.of(options.output_dir, options.preset)):
        print(f"{row.id:20} {row.task:20} {row.verdict}")


def _reproduce(options: argparse.Namespace) -> None:
    """Print a line per chapter. Raises StudyError after the last where one was not reproduced."""
    print(f"{'chapter':26} {'chunks':>6} {'runs':>6} {'same bits':>10} {'same end':>8} {'deviation':>9} {'steps':>6}")
    failed = []
    for row in reproduce.reproduce(Folders.of(options.output_dir, options.preset), options.share, options.seed):
        numbers = (
            f"{row.chunks:6} {row.runs:6} {row.equal:10} {row.same_end:8} {row.deviation:9.2g} {row.step_gap:6.2g}"
        )
        print(f"{row.notebook:26} {numbers}", flush=True)
        failed += [] if row.holds else [row.notebook]
    if failed:
        raise StudyError(f"not reproduced: {', '.join(failed)}")


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (share := float(text)) <= 1:
            return share
    raise argparse.ArgumentTypeError(f"got {text!r}; takes a number above 0 and at most 1")


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}; takes a whole number from 0")
    return int(text)


def _claims(_: argparse.Namespace) -> None:
    """Print a line per claim: id, notebook, title."""
    for row in table():
        print(f"{row.id:20} {row.notebook:26} {row.title}")


def _tasks(_: argparse.Namespace) -> None:
    """Print a line for each name that the parameter ``task`` takes beside module:function: the name, what is learnt."""
    for name in tasks.names():
        print(f"{name:26} {_title(name)}", flush=True)


def _title(name: str) -> str:
    try:
        return tasks.load(name).title
    except StudyError as error:  # text that cannot be fetched
        return f"({error})"


def _advise(options: argparse.Namespace) -> None:
    """Run the notebook on one network, and print its answer and where its page is."""
    folders = Folders.of(options.output_dir, options.preset)
    advice = advise(folders, {name: getattr(options, name) for name in ("task", *ADVISED)})
    print("\n".join(["", *advice.sentences, "", f"The page: {advice.page}"]))


def _readme(options: argparse.Namespace) -> None:
    """Write README's generated stretches and print where it is."""
    print(refresh(Folders.of(options.output_dir, "full").root))


if __name__ == "__main__":
    sys.exit(main())
