"""Controls: outcomes known beforehand. If one comes out differently, the study is broken and stops.

- At a small, well-tuned learning rate on a shallow network all warmup arms agree.
- The same seed gives the same bits twice, and different seeds give different results.
- RMSProp's first update is 1/√(1−α) times the learning rate.
- Descent along the gradient over all examples settles where the sharpness is 2/η.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from warmup_study import tasks, theory
from warmup_study.errors import StudyError
from warmup_study.running.sweep import sweep
from warmup_study.statistics.bootstrap import paired_effect
from warmup_study.statistics.decisions import decide
from warmup_study.training import ensemble
from warmup_study.training.experiment import Arm, Experiment, RunSpec, TrainingConfig
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule
from warmup_study.training.traces import Traces

TASK = "digits-mlp"
ONE_SPLIT_TASK = "digits-mlp+marks"  # the same split for all seeds: what differs must come from weights and batches
SEEDS = tuple(range(900_000, 900_008))  # no chapter's seeds
LENGTH, UPDATES = 5, 200
AGREEMENT = 0.1  # log ratio of test losses: a tenth of the loss
SMALL_LR = {"sgd": 0.1, "adam": 0.001}
EDGE_TASK, EDGE_LR, EDGE_SEEDS, EDGE_UPDATES = "digits-mlp+smooth", 0.2, SEEDS[:4], 300
EDGE_TOLERANCE = 0.15  # descent crosses its edge to and fro
FIRST_UPDATE_TOLERANCE = 0.02  # eps and float32 keep the size from being exact


def check(cache: Path, device: str) -> None:
    """Run the controls (those that train for long are cached). Raises ``StudyError`` naming the first that fails."""
    _seeds_decide(device)
    _first_update_is_the_theorys(device)
    _small_rates_agree(cache, device)
    _descent_settles_at_its_edge(cache, device)


def _seeds_decide(device: str) -> None:
    first, again = (_train_briefly(Optimizer(name="adam"), device) for _ in range(2))
    if not torch.equal(first.train_loss, again.train_loss):
        raise StudyError("control failed: the same seeds trained twice gave different losses")
    if len(np.unique(first.test_loss.cpu().numpy())) < len(SEEDS):
        raise StudyError("control failed: different seeds gave equal test losses")


def _first_update_is_the_theorys(device: str) -> None:
    rule = Optimizer(name="rmsprop")
    sizes, expected = (
        _train_briefly(rule, device).probes["update_size"][0].cpu().numpy(),
        theory.first_update_size(rule),
    )
    if not np.allclose(sizes, expected, rtol=FIRST_UPDATE_TOLERANCE):
        raise StudyError(
            f"control failed: RMSProp's first update is {sizes.mean():.3g} x lr; theory says {expected:.3g}"
        )


def _train_briefly(optimizer: Optimizer, device: str) -> Traces:
    arm = Arm(label=optimizer.name, optimizer=optimizer, schedule=Schedule())
    runs = [RunSpec(arm, SMALL_LR["adam"], seed) for seed in SEEDS]
    config = TrainingConfig(task=ONE_SPLIT_TASK, updates=10, probed=(1,), probes=("update_size",), device=device)
    return ensemble.train(config, runs)


def _small_rates_agree(cache: Path, device: str) -> None:
    runs = sweep([_agreement(name, device) for name in SMALL_LR], cache, processes=0)
    for arm, gains in _gains(runs):
        gain = paired_effect(gains)
        if decide(gain, AGREEMENT) != "inside":
            raise StudyError(
                f"control failed: at a small learning rate, {arm} differs from no warmup by a log loss ratio of "
                f"{gain.estimate:.3f} ({gain.low:.3f} to {gain.high:.3f})"
            )


def _descent_settles_at_its_edge(cache: Path, device: str) -> None:
    """The probe of curvature against the one value that theory knows beforehand (Cohen et al. 2021, 2103.00065)."""
    rule = Optimizer(name="sgd")
    descent = Experiment(
        part="control",
        task=EDGE_TASK,
        arms=(Arm(label="sgd/whole batch", optimizer=rule, schedule=Schedule()),),
        lrs=(EDGE_LR,),
        seeds=EDGE_SEEDS,
        updates=EDGE_UPDATES,
        batch=len(tasks.load(EDGE_TASK).splits.train),
        evaluate_every=EDGE_UPDATES,
        probed=tuple(range(EDGE_UPDATES // 2, EDGE_UPDATES + 1, EDGE_UPDATES // 6)),
        probes=("sharpness",),
        device=device,
    )
    runs = sweep([descent], cache, processes=0)
    sharpness = float(np.stack(runs["sharpness"].to_list()).mean())
    expected = theory.stability_limit(rule) / EDGE_LR
    if not np.isclose(sharpness, expected, rtol=EDGE_TOLERANCE):
        raise StudyError(
            f"control failed: full-batch descent settles at a sharpness of {sharpness:.3g}; theory says {expected:.3g}"
        )


def _agreement(optimizer: str, device: str) -> Experiment:
    """The four warmup arms of one optimiser, with a warmup that is short beside the run."""
    return Experiment(
        part="control",
        task=TASK,
        arms=tuple(
            Arm(
                label=f"{optimizer}/{warmup}",
                optimizer=Optimizer.model_validate({"name": optimizer}),
                schedule=Schedule.model_validate({"warmup": warmup, "length": 0 if warmup == "none" else LENGTH}),
            )
            for warmup in ("none", "zero", "constant", "ramp")
        ),
        lrs=(SMALL_LR[optimizer],),
        seeds=SEEDS,
        updates=UPDATES,
        evaluate_every=UPDATES,
        device=device,
    )


def _gains(runs: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each arm with a warmup, and its log loss ratio to no warmup, seed by seed."""
    losses = {str(arm): np.log(rows.set_index("seed")["test_loss"]) for arm, rows in runs.groupby("arm")}
    for arm, loss in losses.items():
        optimizer, _, warmup = arm.partition("/")
        if warmup != "none":
            yield arm, losses[f"{optimizer}/none"] - loss
