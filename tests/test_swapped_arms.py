"""A mutation that every chapter must notice: with two arms exchanged, each of their effects changes its sign.

On runs that each chapter trained itself, at the smallest size; what compares other arms keeps its sign and is left out.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from warmup_study.chapters import TARGET, open_chapter
from warmup_study.chapters.anchor_warmup import analysis as anchor_warmup
from warmup_study.chapters.attention_and_decay import analysis as attention_and_decay
from warmup_study.chapters.early_examples.analysis import skew
from warmup_study.chapters.mechanism import analysis as mechanism
from warmup_study.chapters.momentum import analysis as momentum
from warmup_study.chapters.sgd_vs_adam import analysis as sgd_vs_adam
from warmup_study.chapters.zero_vs_ramped_warmup import analysis as zero_vs_ramped_warmup
from warmup_study.running import sweep
from warmup_study.statistics import endpoints
from warmup_study.statistics.bootstrap import Effect

Found = Mapping[str, Mapping[Any, Effect] | None]


def mechanism_gains(runs: pd.DataFrame) -> dict[str, dict[str, Effect]]:
    """What the ramp gains, with ReLUs and with leaky ones; where units are counted depends on which arm is ``none``."""
    found = {task: effects for task, effects in mechanism.deaths(runs).items() if isinstance(effects, Mapping)}
    return {
        task: {name: effect for name, effect in effects.items() if "gain" in name} for task, effects in found.items()
    }


SWAPS: dict[str, tuple[Callable[[pd.DataFrame], Found], tuple[str, str], Callable[[Any], bool]]] = {
    "1_sgd_vs_adam": (sgd_vs_adam.gains, ("none", "ramp"), lambda key: True),
    "2_zero_vs_ramped_warmup": (
        zero_vs_ramped_warmup.constant_gains,
        ("none", "short"),
        lambda key: key.endswith("low LR first"),
    ),
    "3_momentum": (momentum.batch_gains, ("none", "ramp"), lambda key: True),
    "4_early_examples": (skew.gap_differences, ("none", "ramp"), lambda key: not key.endswith("constant")),
    "5_attention_and_decay": (lambda runs: attention_and_decay.decay_gains(runs, "adam"), ("none", "ramp"), bool),
    "6_mechanism": (mechanism_gains, ("none", "ramp"), lambda key: True),
    "7_anchor_warmup": (anchor_warmup.effects, ("ramp", "both"), lambda key: key[1] == "both"),
}


def exchanged(runs: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """The same table with the names of two arms exchanged."""
    names = dict(zip(pair, pair[::-1], strict=True))
    arms = ["/".join(names.get(part, part) for part in arm.split("/")) for arm in runs["arm"]]
    return runs.assign(arm=arms, warmup=runs["warmup"].map(lambda name: names.get(name, name)))


@pytest.mark.long
@pytest.mark.parametrize("name", SWAPS)
def test_exchanged_arms_change_the_sign_of_their_effects(name: str, tmp_path: Path) -> None:
    measure, pair, concerned = SWAPS[name]
    runs = sweep.sweep(open_chapter(name, {"preset": "smoke"}).experiments, tmp_path, processes=0)
    runs["steps_to_target"] = endpoints.steps_to_share(runs, TARGET)
    before, after = measure(runs), measure(exchanged(runs, pair))
    assert set(before) == set(after)
    compared = 0
    for task, effects in before.items():
        others = after[task] or {}
        for key, effect in (effects or {}).items():
            if concerned(key):
                assert others[key].estimate == pytest.approx(-effect.estimate, abs=1e-9), (task, key)
                compared += effect.estimate != 0
    assert compared, "no effect with a sign was compared"
