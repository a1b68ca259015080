"""Networks of every kind: as a stack they train as in an ordinary loop, and others train in the loop."""

from typing import Any

import numpy as np
import pytest
import torch
import zoo
from small_experiments import arm, config, runs_of

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.training import dropout, ensemble, stackable
from warmup_study.training.batches import Stream
from warmup_study.training.experiment import RunSpec
from warmup_study.training.network_state import initial_state
from warmup_study.training.optimizers import SETTINGS, Optimizer
from warmup_study.training.probes import KERNEL_OF, ProbeName
from warmup_study.training.traces import Traces

KINDS = ("digits-mlp", "digits-he8-norm", "digits-transformer", "digits-mixer", "mnist1d-conv", "detection")
PROBES: tuple[ProbeName, ...] = ("update_norm", "alignment", "displacement", "outside_loss")


def shared(name: str, **settings: Any) -> Any:
    """Four updates, the third of them probed."""
    probes = {"probed": (3,), "probes": PROBES} | settings
    return config(4, 8, 2, f"zoo:{name}", outputs_kept=3, **probes)


def runs() -> list[RunSpec]:
    """Pairs of two seeds. Momentum: Adam would make steps of what is 0 but for rounding."""
    skewed = Stream(cluster="class", skew=1, span=2)
    arms = [arm("momentum", label="skewed", stream=skewed), arm("momentum", label="plain", stream=skewed.plain)]
    return [RunSpec(each, 0.05, seed) for seed in (3, 4) for each in arms]


def assert_alike(found: Traces, expected: Traces, count: int | None = None, rtol: float = 1e-5) -> None:
    for one, other in zip(found.by_run(count or 4), expected.by_run(count or 4), strict=True):
        for name, values in other.items():
            np.testing.assert_allclose(one[name], values, rtol=rtol, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", zoo.STACKED)
def test_a_stack_trains_as_torch_trains_each_network(name: str) -> None:
    assert stackable.refusal(f"zoo:{name}") is None and stackable.remark(f"zoo:{name}") == ""
    stack, loop = (ensemble.train(shared(name), runs(), dtype=torch.float64, stacked=way) for way in (True, False))
    assert_alike(stack, loop)
    assert len(set(stack.test_loss.tolist())) == len(runs()), "the runs make no difference"
    assert stack.probes["alignment"].isfinite().all() and (stack.train_loss[0] != stack.train_loss[-1]).all()


@pytest.mark.parametrize("name", [*SETTINGS, "reset", "uncorrected", "decayed"])
def test_every_rule_is_the_same_in_the_loop(name: str) -> None:
    special = {
        "reset": Optimizer(name="adam", reset_at=2),
        "uncorrected": Optimizer(name="adam", bias_correction=False),
        "decayed": Optimizer(name="sgd", weight_decay=0.1),
    }
    rule = special.get(name) or Optimizer.model_validate({"name": name})
    kept = [probe for probe, kernel in KERNEL_OF.items() if kernel == rule.kernel]
    settings = shared("tempered", probes=(*kept, "gradient_snr", "sharpness"))
    stack, loop = (
        ensemble.train(settings, runs_of(rule, 0.01, (3, 4)), dtype=torch.float64, stacked=way) for way in (True, False)
    )
    assert_alike(stack, loop, 2, rtol=1e-4)


@pytest.mark.parametrize("name", zoo.REFUSED)
def test_what_cannot_be_stacked_is_named_and_trains_as_if_alone(name: str) -> None:
    assert str(stackable.refusal(f"zoo:{name}")).startswith(zoo.REFUSED[name])
    together = ensemble.train(shared(name), runs())
    alone = ensemble.train(shared(name, probed=()), runs()[1:2])
    assert torch.equal(together.train_loss[:, 1], alone.train_loss[:, 0])
    assert len(set(together.test_loss.tolist())) == len(runs())
    assert together.train_loss.isfinite().all() and together.probes["displacement"][0, 0] > 0


def test_curvature_is_probed_where_torch_has_fused_layers() -> None:
    settings = shared("lstm", probes=("sharpness",))
    sharpness = ensemble.train(settings, runs_of("sgd", 0.1, (3,)), dtype=torch.float64).probes["sharpness"]
    assert (sharpness > 0).all()


@pytest.mark.parametrize("name", ["batch_norm", "dropout"])
def test_compiled_it_does_the_same(name: str) -> None:
    settings = shared(name, probed=())
    eager, native = (ensemble.train(settings, runs(), dtype=torch.float64, compiled=way) for way in (False, True))
    assert_alike(native, eager)


@pytest.mark.parametrize("name", KINDS)
def test_built_in_networks_are_stacked_for_good_reason(name: str) -> None:
    assert stackable.refusal(name) is None
    assert stackable.tried(name) is None


def test_a_task_of_few_examples_is_tried_on_those() -> None:
    assert stackable.refusal("zoo:few") is None


def test_a_network_that_torch_cannot_train_is_one_line() -> None:
    with pytest.raises(StudyError, match=r"^task: 'zoo:broken': model: .* failed with RuntimeError: mat1") as caught:
        stackable.refusal("zoo:broken")
    assert len(str(caught.value).splitlines()) == 1


# ----------------------------------------------------------------------------------------------------- state and chance


def test_every_network_is_built_under_its_seed_whatever_was_drawn_before() -> None:
    task = tasks.load("zoo:tempered")
    states = []
    for ambient in (1, 2):
        torch.manual_seed(ambient)
        states.append(initial_state(task, (5, 6)))
    first, second = (state.buffers["features"] for state in states)
    assert torch.equal(first, second) and not torch.equal(first[0], first[1])
    before = torch.random.get_rng_state()
    ensemble.train(shared("noisy"), runs()[:1])
    assert torch.equal(torch.random.get_rng_state(), before), "training draws from generators of its own"


def test_frozen_parameters_stay_and_the_others_move() -> None:
    task = tasks.load("zoo:frozen")
    state = initial_state(task, (3, 4))
    assert set(state.params) == {"5.weight", "5.bias"} and len(state.frozen) == 4
    kept = ensemble.train(shared("frozen"), runs())
    assert (kept.probes["update_norm"] > 0).all()


def drawn(key: int, p: float, layer: str = "dropout", shape: tuple[int, ...] = (64, 64)) -> torch.Tensor:
    with dropout.drawn_from(torch.tensor(key)):
        mask: torch.Tensor = getattr(torch.nn.functional, layer)(torch.ones(shape), p)
    return mask


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_drop_their_share_and_those_of_other_keys_are_independent(p: float) -> None:
    keys = dropout.keys([0, 1], 3)
    masks = torch.stack([drawn(int(key), p).flatten() for key in keys.flatten()])
    dropped = (masks == 0).double()
    assert dropped.mean(1).tolist() == pytest.approx([p] * 6, abs=4 * (p * (1 - p) / 4096) ** 0.5)
    assert masks.max().item() == pytest.approx(1 / (1 - p))
    correlations = torch.corrcoef(dropped) - torch.eye(6)
    assert correlations.abs().max() < 5 / 4096**0.5


def test_calls_differ_channels_fall_as_a_whole_and_without_a_key_nothing_does() -> None:
    with dropout.drawn_from(torch.tensor(7)):
        first, second = (torch.nn.functional.dropout(torch.ones(64), 0.5) for _ in range(2))
    assert not torch.equal(first, second)
    channels = drawn(7, 0.5, "dropout2d", (16, 16, 3, 3))
    assert (channels == channels[..., :1, :1]).all() and 0.3 < (channels == 0).float().mean() < 0.7
    assert (drawn(7, 1.0) == 0).all()
    with dropout.drawn_from(None):
        assert torch.equal(torch.nn.functional.dropout(torch.ones(64), 0.5), torch.ones(64))
    assert torch.nn.functional.dropout.__module__ == "torch.nn.functional", "torch's own is back"


def test_attention_written_out_is_torchs() -> None:
    query, key, value = torch.randn(3, 2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).unbind()
    settings: list[dict[str, Any]] = [
        {},
        {"is_causal": True},
        {"attn_mask": torch.ones(5, 5, dtype=torch.bool).tril()},
        {"attn_mask": torch.randn(5, 5), "scale": 0.3},
    ]
    for setting in settings:
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, **setting)
        with dropout.drawn_from(None):
            found = torch.nn.functional.scaled_dot_product_attention(query, key, value, **setting)
        torch.testing.assert_close(found, expected)
