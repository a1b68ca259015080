"""Design of the fifth chapter: nets with and without attention, with and without norms, and warmup before a decay.

Planned under ``full``, beside the core grid: some eighteen minutes. By the spread of earlier runs, 24 seeds
tell the difference between two nets within ±0.06 to ±0.08 decades of usable learning rates, and within ±8 to ±11 % of
the loss above the best one; the mean over both depths within some 0.7 of that.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pandas as pd

from warmup_study import tasks
from warmup_study.chapters import core_grid, design
from warmup_study.chapters.design import Bracket, arm
from warmup_study.parameters import RunParameters
from warmup_study.paths import PRESETS
from warmup_study.tasks.networks import Mixing, Placement
from warmup_study.tasks.task import token_names
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.schedules import Decay

PARTS = {
    core_grid.PART: core_grid.TITLE,
    "grid": "networks that differ from the core grid's in one respect, over a grid of learning rates",
    "decay": "with and without a ramp, under each decay",
    "watch": "attention over the first updates, at about twice the best learning rate",
}
ADAM = "adam"
OPTIMIZER = core_grid.OPTIMIZERS[ADAM]
WARMUPS = ("none", "ramp")
PLACEMENTS: tuple[Placement, ...] = ("post", "pre")
MIXINGS: tuple[Mixing, ...] = ("attention", "fixed")
MIXING_NAMES: dict[Mixing, str] = {"attention": "with attention", "fixed": "without attention"}
MLPS = ("digits-he8-norm", "digits-he8")
"""The deep MLP with layer normalisation, and the same without."""
DECAYS: tuple[Decay, ...] = ("constant", "cosine", "inverse_sqrt")
WATCHED_LR = 0.0316
WATCHED = (1, 2, 4, 8, 16, 32, 64, 128)


def token_net(placement: Placement, mixing: Mixing, blocks: int) -> str:
    """The task that trains this net on the digits: a Transformer, or its twin whose mixing of tokens is fixed."""
    return token_names("digits", placement, mixing, blocks)[0]


class Parameters(RunParameters):
    """What the notebook takes. ``task`` names where warmup meets decay; attention has pairs of its own."""


class Sizes(design.RunSizes):
    """How large the chapter is; on ``tasks`` warmup meets decay.

    ``blocks`` are the depths of the nets on tokens. ``compared`` and ``decayed`` are the learning rates over which a
    net is compared, and those under decay.
    """

    blocks: tuple[int, ...]
    decayed_seeds: int
    watched_seeds: int
    compared: Bracket | None = None
    decayed: Bracket | None = None


COMPARED: dict[str, Bracket] = {
    "digits-transformer": (0.00316, 0.1),
    "digits-transformer-pre": (0.00316, 0.316),
    "digits-mixer": (0.00316, 0.316),
    "digits-mixer-pre": (0.00316, 1.0),
    "digits-transformer-6": (0.00178, 0.1),
    "digits-transformer-pre-6": (0.00178, 0.1),
    "digits-mixer-6": (0.00178, 0.178),
    "digits-mixer-pre-6": (0.00178, 0.562),
    "digits-he8": (0.00178, 0.316),
    "digits-he8-norm": (0.00178, 0.316),
}
"""From below each net's best learning rate to where it trains with no warmup: beyond, both arms fail alike."""
QUICK: dict[str, Bracket] = {
    "digits-transformer": (0.01, 0.1),
    "digits-transformer-pre": (0.01, 0.316),
    "digits-mixer": (0.01, 0.316),
    "digits-mixer-pre": (0.0316, 1.0),
    "digits-he8": (0.01, 0.316),
    "digits-he8-norm": (0.01, 0.316),
}
QUICK_SIZES = {"updates": 100, "warmup": 5, "seeds": 5}
DECAYED: dict[str, Bracket] = {
    "digits-he8": (0.00178, 0.0562),
    "mnist1d-conv": (0.00562, 0.178),
    "digits-transformer": (0.00316, 0.0316),
}
"""Of the tasks under decay: the best learning rate and twice that."""
MOST_SEEDS = {2: 36, 6: 24}
"""By depth of the nets on tokens: as many of the core grid's seeds as their twins take."""


def _own(preset: str) -> dict[str, dict[str, Any]]:
    """What each task has of its own.

    A net on tokens trains for as long as the core grid's Transformer of as many blocks; under ``quick``, whose seeds
    cannot tell a net from its twin, for as long as a minute allows.
    """
    compared = COMPARED | (QUICK if preset == "quick" else {})
    own: dict[str, dict[str, Any]] = {name: {"compared": bracket} for name, bracket in compared.items()}
    for blocks, most in MOST_SEEDS.items():
        core = core_grid.SIZES[preset].on(token_net("post", "attention", blocks))
        lengths = {"updates": core.updates, "warmup": core.warmup, "seeds": min(core.seeds, most)}
        lengths |= QUICK_SIZES if preset == "quick" else {}
        for placement, mixing in product(PLACEMENTS, MIXINGS):
            own.setdefault(token_net(placement, mixing, blocks), {}).update(lengths)
    for name, bracket in DECAYED.items():
        own.setdefault(name, {})["decayed"] = bracket
    return own


SIZES = Sizes.by_preset(
    blocks={"smoke": (2,), "quick": (2,), "full": (2, 6)},
    tasks={"smoke": ("digits-he8",), "quick": ("digits-he8",), "full": tuple(DECAYED)},
    updates=core_grid.LENGTHS["updates"] | {"quick": 150},
    warmup=core_grid.LENGTHS["warmup"] | {"quick": 8},
    seeds={"smoke": 2, "quick": 4, "full": 60},
    decayed_seeds={"smoke": 2, "quick": 5, "full": 30},
    watched_seeds={"smoke": 2, "quick": 3, "full": 12},
    points_per_decade={"smoke": 1, "quick": 2, "full": 4},
    own={preset: _own(preset) for preset in PRESETS},
)


def experiments(parameters: Parameters) -> Iterator[Experiment]:
    """The nets that are compared over their grids, warmup under every decay, attention update by update."""
    sizes = SIZES[parameters.preset]
    nets = [token_net(*kind) for kind in product(PLACEMENTS, MIXINGS, sizes.blocks)]
    core = core_grid.SIZES[parameters.preset]
    shared = [net for net in nets if net in core.tasks and core.on(net).updates == sizes.on(net).updates]
    if shared:
        yield from core_grid.experiments(parameters, shared, (ADAM,), longer=False)
    for net in (*nets, *MLPS):
        if net not in shared:
            yield _Design.on(net, parameters, sizes).compared()
    for task in parameters.task_names or sizes.tasks:
        yield _Design.on(task, parameters, sizes).decayed()
    for placement in PLACEMENTS:
        yield _Design.on(token_net(placement, "attention", 2), parameters, sizes).watched()


def weight_counts(runs: pd.DataFrame) -> pd.DataFrame:
    """The nets on tokens that were compared, and their numbers of weights: a row per placement and depth."""
    trained = set(runs["task"])
    rows = []
    for placement, blocks in product(PLACEMENTS, MOST_SEEDS):
        names = {mixing: token_net(placement, mixing, blocks) for mixing in MIXINGS}
        if trained.issuperset(names.values()):
            weights = {MIXING_NAMES[mixing]: _weights(name) for mixing, name in names.items()}
            rows.append({"norms": f"{placement}-LN", "blocks": blocks} | weights)
    return pd.DataFrame(rows)


def _weights(task: str) -> int:
    return sum(part.numel() for part in tasks.load(task).model().parameters())


class _Design(design.Design):
    sizes: Sizes

    def compared(self) -> Experiment:
        """The same arms as in the core grid, and the same labels."""
        arms = [self._arm(warmup, "cosine", warmup) for warmup in WARMUPS]
        return self.experiment("grid", arms, self.lrs("adaptive", self.sizes.compared))

    def decayed(self) -> Experiment:
        """Without warmup the decay starts where the ramp would have ended, so that both decay alike."""
        arms = [
            self._arm(f"{warmup}/{decay}", decay, warmup, decay_from=self.warmup)
            for decay, warmup in product(DECAYS, WARMUPS)
        ]
        seeds = self.seeds[: self.sizes.decayed_seeds]
        return self.experiment("decay", arms, self.lrs("adaptive", self.sizes.decayed), seeds=seeds)

    def watched(self) -> Experiment:
        last = min(self.updates, WATCHED[-1])
        length = min(self.warmup, last)
        return self.experiment(
            "watch",
            [self._arm(warmup, "constant", warmup, length) for warmup in WARMUPS],
            WATCHED_LR,
            updates=last,
            seeds=self.seeds[: self.sizes.watched_seeds],
            probed=tuple(update for update in WATCHED if update <= last),
            probes=("attention_logit", "attention_entropy"),
        )

    def _arm(self, label: str, decay: Decay, warmup: str, length: int | None = None, **settings: Any) -> Arm:
        return arm(f"{ADAM}/{label}", OPTIMIZER, self.schedule(warmup, length, decay=decay, **settings))
