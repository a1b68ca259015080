"""The notebook for networks of the reader's own: what it refuses, finds, says, and gives to paste."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from warmup_study import theory
from warmup_study.chapters.your_network import analysis, pytorch
from warmup_study.chapters.your_network.analysis import Findings
from warmup_study.chapters.your_network.design import Parameters, PyTorchName, open_notebook
from warmup_study.errors import StudyError
from warmup_study.parameters import validate
from warmup_study.running.pilot import find_learning_rates
from warmup_study.statistics.bootstrap import Floats
from warmup_study.statistics.lr_curves import LrCurves
from warmup_study.training.optimizers import Optimizer, linear_weights
from warmup_study.training.schedules import Schedule, learning_rates

LRS: Floats = np.asarray(0.01 * 2.0 ** np.arange(7), dtype=float)


def curves(*losses: float, seeds: int = 8, noise: float = 0.02) -> LrCurves:
    """Curves through these mean losses, with noise that every arm's seeds share."""
    factors = np.exp(np.random.default_rng(3).normal(0, noise, (seeds, 1)))
    table = np.minimum(np.asarray(losses, dtype=float) * factors, 2.3)
    return LrCurves(LRS, table, table, np.full(seeds, 2.3))


def found(**ramps: LrCurves) -> Findings:
    """Findings from the curve without warmup and those of ramps by length."""
    none = curves(0.5, 0.3, 0.2, 0.3, 2.3, 2.3, 2.3)
    arms: dict[analysis.Arm, LrCurves] = {("ramp", int(name[1:])): curve for name, curve in ramps.items()}
    return Findings({analysis.NONE: none, **arms}, ("ramp", 20))


GOOD = curves(0.5, 0.3, 0.15, 0.1, 0.15, 0.3, 2.3)
SAME = curves(0.5, 0.3, 0.202, 0.3, 2.3, 2.3, 2.3)


def test_a_ramp_that_pays_is_recommended_and_one_that_does_nothing_is_not() -> None:
    pays, nothing = found(_8=SAME, _20=GOOD, _80=GOOD), found(_8=SAME, _20=SAME, _80=SAME)
    whether, when, how_long = analysis.answers(pays)
    assert "(0.04 without warmup, 0.08 with a ramp of 20 updates)" in whether and "warmup pays" in whether
    assert "50 % lower (95 % interval: 50 % to 50 % lower)" in whether.replace("\N{NO-BREAK SPACE}", " ")
    assert "At four times" in when and "0 of 8 seeds train without warmup and 8 with it" in when
    assert "Ramps of 8, 20 and 80 updates were tried" in how_long and "20 updates come within" in how_long
    assert analysis.recommended(pays) == (20, LRS[3])
    whether, _, how_long = analysis.answers(nothing)
    assert "too small to matter" in whether and "training without warmup comes within" in how_long
    assert analysis.recommended(nothing) == (0, LRS[2])


def test_what_is_noise_is_said_to_be_too_little_to_tell() -> None:
    chance = np.random.default_rng(5)
    noisy = [LrCurves(LRS, t, t, np.full(6, 2.3)) for t in chance.uniform(0.05, 2.0, (2, 6, 7))]
    seen = Findings({analysis.NONE: noisy[0], ("ramp", 20): noisy[1]}, ("ramp", 20))
    assert "6 seeds are too few to tell the difference" in analysis.answers(seen)[0]
    assert analysis.recommended(seen)[0] == 20


def pasted(optimizer: str, length: int, model: nn.Module) -> dict[str, Any]:
    """What the lines to paste define, all but the last of which is to stand in the loop."""
    lines = pytorch.pytorch_lines(optimizer, 0.3, length, 30).partition("# in the loop")[0]
    names: dict[str, Any] = {"model": model}
    exec(lines, names)
    return names


@pytest.mark.parametrize("length", [0, 1, 7])
@pytest.mark.parametrize("optimizer", get_args(PyTorchName))
def test_the_lines_to_paste_take_the_learning_rates_that_were_tested(optimizer: str, length: int) -> None:
    names = pasted(optimizer, length, nn.Linear(1, 1))
    plan = Schedule(warmup="ramp" if length else "none", length=length, decay="cosine")
    for scheduler in names.get("schedulers", [names.get("scheduler")]):
        used = []
        for _ in range(30):
            used.append(scheduler.optimizer.param_groups[0]["lr"])
            scheduler.optimizer.step()
            scheduler.step()
        assert used == pytest.approx(learning_rates([plan], [0.3], 30)[:, 0], rel=1e-12)
        assert isinstance(scheduler.optimizer, torch.optim.Optimizer)


@pytest.mark.parametrize("optimizer", pytorch.CLASSES)
def test_what_torch_lacks_steps_as_the_study_does(optimizer: str) -> None:
    gradients, model = np.random.default_rng(1).normal(size=20), nn.Linear(1, 1, bias=False, dtype=torch.float64)
    rule, moved = pasted(optimizer, 0, model)["optimizer"], []
    for gradient in gradients:
        before, model.weight.grad = model.weight.item(), torch.tensor([[gradient]])
        rule.step()
        moved.append((model.weight.item() - before) / rule.param_groups[0]["lr"])
    assert moved == pytest.approx(theory.steps(Optimizer.model_validate({"name": optimizer}), gradients), rel=1e-9)


def test_the_lines_for_muon_give_it_the_matrices_that_the_study_gives_it() -> None:
    model = nn.Sequential(nn.Embedding(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    names = pasted("muon", 0, model)
    own = {id(param) for param in names["muon"].param_groups[0]["params"]}
    assert {name for name, param in model.named_parameters() if id(param) in own} == linear_weights(model)
    assert {id(param) for param in names["adam"].param_groups[0]["params"]} | own == set(map(id, model.parameters()))


@pytest.mark.parametrize("optimizer", ["lion", "signsgd", "muon"])
def test_newer_optimisers_are_taken(optimizer: str, tmp_path: Path) -> None:
    given = {"preset": "smoke", "task": "digits-mlp", "optimizer": optimizer, "output_dir": str(tmp_path)}
    network = open_notebook(given | {"lrs": "1e-4, 1e-3,1e-2"})
    runs = network.run()
    assert set(runs["optimizer"]) == {optimizer} and analysis.answers(analysis.findings(runs, network.usual))


def test_the_pilot_finds_an_inner_best_and_where_training_fails(tmp_path: Path) -> None:
    for name, rule in (("adam", Optimizer(name="adam")), ("sgd", Optimizer(name="sgd"))):
        pilot = find_learning_rates("digits-mlp", rule, updates=60, batch=32, folder=tmp_path)
        lrs = list(pilot.shares.index)
        assert lrs[0] < pilot.best < pilot.highest_trained < lrs[-1], name
        assert pilot.shares[pilot.best] < 0.3 and lrs == sorted(set(lrs))


def test_a_task_that_learns_at_no_learning_rate_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"^task 'tiny_tasks:chance' does not learn at any learning rate from 1e-\d+"):
        find_learning_rates("tiny_tasks:chance", Optimizer(name="adam"), updates=10, batch=32, folder=tmp_path)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"task": ""}, "task: got ''"),
        ({"task": "digits-mlp,digits-deep"}, "task: got 'digits-mlp,digits-deep'"),
        ({"optimizer": "momentum_lr_inside"}, "optimizer: got 'momentum_lr_inside'; takes one of sgd"),
        ({"updates": 5}, "updates: got 5"),
        ({"lrs": "0.1"}, "lrs: got '0.1'"),
        ({"preset": "full"}, "preset: got 'full'; takes smoke or quick"),
        ({"tusk": 1}, "tusk: no such parameter, did you mean task?"),
        ({"task": "digits-mlp", "batch": 4000}, "batch: got 4000; takes at most 1257"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_trains(given: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError) as caught:
        open_notebook(given)
    assert str(caught.value).startswith(line)


def test_learning_rates_given_are_those_trained(tmp_path: Path) -> None:
    network = open_notebook({"task": "digits-mlp", "lrs": "0.1, 0.01,0.03", "seeds": 4, "output_dir": str(tmp_path)})
    assert network.experiment.lrs == (0.01, 0.03, 0.1) and len(network.experiment.seeds) == 4
    assert {arm.label for arm in network.experiment.arms} == {"none/0", "ramp/8", "ramp/20", "ramp/100", "zero/20"}
    assert validate(Parameters, {}).task == "digits-transformer" and not list(tmp_path.iterdir())
