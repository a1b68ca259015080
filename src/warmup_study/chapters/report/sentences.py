"""A check of the report's main endpoint, in words."""

from warmup_study.chapters.core_curves import Cells, by_task, counted
from warmup_study.presentation.changes import compared_with_interval
from warmup_study.statistics.bootstrap import pooled
from warmup_study.statistics.lr_curves import soft_tuned_loss

RESAMPLES = 1999


def soft_minimum(found: Cells) -> str:
    """The ramp's gain over all tasks by the soft minimum over the grid, which picks no learning rate."""
    gains = [
        pooled([soft_tuned_loss(arms["none"], arms["ramp"], RESAMPLES) for arms in mine.values()])
        for mine in by_task(counted(found)).values()
    ]
    if not gains:
        return "No task trains, so the choice of the learning rate cannot be checked."
    return (
        "As a check, with a soft minimum over the grid in place of the best learning rate, the loss with the ramp is "
        f"{compared_with_interval(pooled(gains))}."
    )
