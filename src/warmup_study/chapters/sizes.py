"""What every chapter's sizes have in common."""

from dataclasses import dataclass

import torch

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.parameters import CommonParameters, GridParameters

_FIRST_SEED = {"smoke": 1_000, "quick": 2_000, "full": 3_000}  # what quick has shown must not shape full's verdicts
_TO_SELECTION = 100_000  # from a preset's first confirmation seed to its first selection seed


@dataclass(frozen=True)
class Seeds:
    """How many seeds pick learning rates, and how many others report what the picked rates achieve."""

    selection: int
    confirmation: int

    def of(self, parameters: CommonParameters) -> dict[str, tuple[int, ...]]:
        """The seeds themselves, no two presets' alike.

        ``parameters.seeds`` sets the number of confirmation seeds; half as many select.
        """
        asked = parameters.seeds
        selection, confirmation = (max(2, asked // 2), asked) if asked else (self.selection, self.confirmation)
        first = _FIRST_SEED[parameters.preset]
        return {
            "selection_seeds": tuple(range(first + _TO_SELECTION, first + _TO_SELECTION + selection)),
            "confirmation_seeds": tuple(range(first, first + confirmation)),
        }


def device_of(parameters: CommonParameters) -> str:
    """The device that trains: ``auto`` means a CUDA device where there is one."""
    if parameters.device != "auto":
        return parameters.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def bracket(task: str, family: str) -> tuple[float, float]:
    """Lowest and highest learning rate of a family's grid on a task."""
    return tasks.load(task).sgd_lrs if family == "sgd" else tasks.load(task).adaptive_lrs


def warmup_within(parameters: GridParameters, usual: int, updates: int) -> int:
    """Length of warmup in a run of so many updates: as asked, else the usual, cut where the run itself is shorter.

    Raises ``StudyError`` where more was asked for than the run has updates.
    """
    if parameters.warmup > updates:
        raise StudyError(f"warmup: got {parameters.warmup}; takes at most the number of updates, {updates}")
    return parameters.warmup or min(usual, updates)
