"""Tables of runs of the first chapter with planted truths, for the tests of its claims and figures."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from warmup_study.training.experiment import lr_grid
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.table import table_of, to_frame

INITIAL = 2.3
LRS = lr_grid(1e-3, 1, 2)
OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")
PROBED = tuple(range(1, 101))


@dataclass(frozen=True)
class Planted:
    """What the ramp does to one optimiser: it trains at so many more rates, and its best loss is lower by so much."""

    more_rates: int = 0
    log_loss: float = 0.0


def grid(
    planted: dict[str, Planted], task: str = "digits-mlp", seeds: int = 12, noise: float = 0.02, trainable: int = 4
) -> list[dict[str, object]]:
    """Rows of the core grid: above the last trainable rate every run diverges; lr = 0 changes nothing."""
    chance = np.random.default_rng(1)
    rows: list[dict[str, object]] = []
    for name in OPTIMIZERS:
        truth = planted.get(name, Planted())
        for warmup, more, gain in (("none", 0, 0.0), ("zero", 0, 0.0), ("ramp", truth.more_rates, truth.log_loss)):
            for seed in range(seeds):
                losses = 0.4 * np.exp(noise * chance.standard_normal(len(LRS)) - gain)
                losses *= 1 + 0.2 * np.abs(np.arange(len(LRS)) - 2)
                rows += [
                    run(task, name, warmup, seed, lr, loss if k < trainable + more else np.nan)
                    for k, (lr, loss) in enumerate(zip(LRS, losses, strict=True))
                ]
    return rows


def run(task: str, name: str, warmup: str, seed: int, lr: float, loss: float) -> dict[str, object]:
    """One row of the core grid."""
    settings = Optimizer.model_validate({"name": name}).model_dump(exclude={"name"})
    return {
        **settings,
        **{"part": "core", "task": task, "arm": f"{name}/{warmup}", "optimizer": name, "warmup": warmup},
        **{"seed": seed, "grid_lr": lr, "lr": lr, "decay": "constant"},
        **{"length": 20 * (warmup == "ramp"), "updates": 100, "batch": 64, "lr_audit": 0.0, "initial_loss": INITIAL},
        **{"status": "ok" if np.isfinite(loss) else "diverged", "diverged_at": None if np.isfinite(loss) else 7},
        **{"test_loss": loss, "validation_loss": loss, "test_error": 0.1, "validation_error": 0.1},
    }


def probe(ratio: float, better: float, task: str = "digits-mlp", seeds: int = 12) -> list[dict[str, object]]:
    """Rows of the part "probe": the first update `ratio` times the settled size, its cosine higher by `better`.

    The cosine of SGD's first update is that of all others.
    """
    chance = np.random.default_rng(2)
    rows = []
    for name in OPTIMIZERS:
        for warmup in ("none", "ramp"):
            for seed in range(seeds):
                size = np.exp(0.05 * chance.standard_normal(len(PROBED)))
                cosine = 0.3 + 0.05 * chance.standard_normal(len(PROBED))
                size[0], cosine[0] = ratio * size[0], cosine[0] + better * (name != "sgd")
                seen = {"probed_at": PROBED, "update_size": size, "alignment": cosine}
                rows.append(run(task, name, warmup, seed, 0.001, 0.5) | {"part": "probe"} | seen)
    return rows


def audit(deviation: float = 0.0, task: str = "digits-mlp", seeds: int = 5) -> list[dict[str, object]]:
    """Rows of the part "audit", one run of which deviates from the formula."""
    curve = {"evaluated_at": range(11), "realised_lr": np.linspace(0, 0.1, 11), "validation_curve": np.ones(11)}
    rows = [run(task, "sgd", "ramp", seed, 0.1, 0.5) | {"part": "audit"} | curve for seed in range(seeds)]
    return [*rows[:-1], rows[-1] | {"lr_audit": deviation}]


def table(*rows: list[dict[str, object]]) -> pd.DataFrame:
    """The rows as a stored table would come back."""
    return to_frame(table_of([row for part in rows for row in part]))
