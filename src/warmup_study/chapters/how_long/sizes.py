"""How large the eighth chapter is: cells, learning rates, seeds. Brackets reach from below the best rate to twice it.

They stand on a pilot with three seeds of its own, in which ten cells were trained at four learning rates to a decade.
"""

from typing import NamedTuple

from warmup_study.chapters import design
from warmup_study.chapters.design import Bracket

USUAL_BETA2 = 0.999
LARGEST = 1024  # examples in a batch


class Group(NamedTuple):
    """Cells of one run length and batch: ``times`` the usual updates, the task's own batch where ``batch`` is 0.

    ``half_life`` adds the β₂ whose half-life is as many examples as that of the usual one at the task's own batch.
    """

    times: float = 1.0
    batch: int = 0
    betas: tuple[float, ...] = (USUAL_BETA2,)
    half_life: bool = False
    bracket: Bracket | None = None


class Sizes(design.RunSizes):
    """How large the chapter is on one task.

    ``groups`` are cells of ramps of every length; ``shaped``, ``momentum`` and ``adam`` hold the learning rates of
    shapes and of batches. Lists of tasks by part: those of ``tasks`` take the first part.
    """

    groups: tuple[Group, ...]
    shaped_tasks: tuple[str, ...]
    batch_tasks: tuple[str, ...]
    skew_tasks: tuple[str, ...]
    batches: tuple[int, ...]
    batch_updates: int
    epochs: int
    skew_lrs: Bracket | None = None
    shaped: Bracket | None = None
    momentum: Bracket | None = None
    adam: Bracket | None = None
    length_seeds: int
    shape_seeds: int
    batch_seeds: int


SEARCHED = (0.9, 0.95, 0.98, 0.99, USUAL_BETA2)
_EASY: Bracket = (0.00178, 0.0562)
_DEEP: Bracket = (0.00178, 0.0562)
_DEAR: Bracket = (0.00562, 0.0562)


def _star(bracket: Bracket, short: Bracket, *, half_life: bool) -> tuple[Group, ...]:
    """Cells along each axis from the middle; ``short`` holds the learning rates of short runs.

    ``half_life``: whether β₂ of fixed half-life is tried at a batch of 256, too.
    """
    return (
        Group(0.3, bracket=short),
        Group(betas=SEARCHED, bracket=bracket),
        Group(3.0, bracket=bracket),
        Group(batch=16, half_life=True, bracket=bracket),
        Group(batch=256, half_life=half_life, bracket=bracket),
    )


FULL: dict[str, dict[str, object]] = {
    "digits-mlp": {
        "groups": (*_star(_EASY, (0.00316, 0.1), half_life=True), Group(0.3, LARGEST, bracket=_EASY)),
        "shaped": _EASY,
        "skew_lrs": (0.00316, 0.1),
        "length_seeds": 16,
    },
    "digits-he8": {
        "groups": _star(_DEEP, _DEEP, half_life=False),
        "shaped": _DEEP,
        "adam": (0.00316, 0.0562),
        "momentum": (0.0562, 1.0),
        "skew_lrs": (0.00178, 0.0562),
        "length_seeds": 16,
    },
    "digits-transformer": {
        "groups": (
            Group(0.3, bracket=_DEAR),
            Group(1.0, betas=SEARCHED, bracket=_DEAR),
            Group(3.0, bracket=_DEAR),
            Group(1.0, 16, half_life=True, bracket=(0.00316, 0.0316)),
            Group(0.3, 256, bracket=_DEAR),
        ),
        "shaped": _DEAR,
        "shape_seeds": 12,
    },
    "mnist1d-conv": {"adam": (0.01, 0.178), "momentum": (0.316, 5.62), "epochs": 16, "skew_lrs": (0.00316, 0.0562)},
}
QUICK: dict[str, dict[str, object]] = {
    "digits-he4": {
        "groups": (
            Group(1.0, betas=(0.9, 0.99), bracket=(0.00316, 0.0316)),
            Group(2.0, bracket=(0.00316, 0.0316)),
            Group(1.0, 16, bracket=(0.00316, 0.0316)),
        ),
        "shaped": (0.00316, 0.0316),
        "adam": (0.00316, 0.0316),
        "momentum": (0.0562, 0.562),
    },
    "digits-mlp": {"skew_lrs": (0.00316, 0.1)},
}
SIZES = Sizes.by_preset(
    tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-he4",),
        "full": ("digits-mlp", "digits-he8", "digits-transformer"),
    },
    shaped_tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-he4",),
        "full": ("digits-mlp", "digits-he8", "digits-transformer"),
    },
    batch_tasks={"smoke": ("digits-mlp",), "quick": ("digits-he4",), "full": ("digits-he8", "mnist1d-conv")},
    skew_tasks={
        "smoke": ("digits-mlp",),
        "quick": ("digits-mlp",),
        "full": ("digits-mlp", "digits-he8", "mnist1d-conv"),
    },
    groups={
        "smoke": (Group(1.0, betas=(0.9, 0.99)), Group(2.0)),
        "quick": (Group(1.0), Group(2.0)),
        "full": (Group(0.3), Group(1.0, betas=SEARCHED), Group(3.0)),
    },
    updates={"smoke": 30, "quick": 200, "full": 1000},
    warmup={"smoke": 5, "quick": 10, "full": 50},
    batches={"smoke": (16, 64), "quick": (16, 64), "full": (16, 64, 256, LARGEST)},
    batch_updates={"smoke": 10, "quick": 150, "full": 400},
    epochs={"smoke": 4, "quick": 10, "full": 24},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    length_seeds={"smoke": 2, "quick": 4, "full": 12},
    shape_seeds={"smoke": 2, "quick": 6, "full": 24},
    batch_seeds={"smoke": 2, "quick": 6, "full": 24},
    seeds={"smoke": 2, "quick": 10, "full": 60},
    own={"quick": QUICK, "full": FULL},
)
