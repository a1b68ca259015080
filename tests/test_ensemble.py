"""The engine against ordinary training: one model, one torch.optim optimiser, one Python loop."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from small_experiments import arm, config, runs_of
from torch.optim.lr_scheduler import LambdaLR

from warmup_study import tasks
from warmup_study.training import batches, ensemble, schedules
from warmup_study.training.experiment import RunSpec
from warmup_study.training.schedule_audit import audit_reference
from warmup_study.training.schedules import Schedule

UPDATES, BATCH = 60, 32
RAMP = Schedule(warmup="ramp", length=20, decay="cosine")
TORCH = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "radam": (torch.optim.RAdam, {}),
}
LRS = {"sgd": 0.2, "momentum": 0.02, "nesterov": 0.02}


def alone(run: RunSpec, task_name: str = "digits-mlp") -> tuple[torch.nn.Module, list[float]]:
    """Train one run the ordinary way, in float64; returns the model and the loss of every batch."""
    task = tasks.load(task_name).of_seed(run.seed)
    torch.manual_seed(run.seed)
    model = task.model().double()
    maker, options = TORCH[run.arm.optimizer.name]
    optimizer = maker(model.parameters(), lr=run.lr, **options)
    scheduler = LambdaLR(optimizer, lambda t: float(schedules.factor(run.arm.schedule, min(t + 1, UPDATES), UPDATES)))
    losses = []
    for picked in torch.as_tensor(batches.batch_order(run.seed, len(task.splits.train), BATCH, UPDATES)):
        optimizer.zero_grad()
        loss = task.loss(model(task.splits.train.inputs[picked].double()), task.splits.train.targets[picked])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return model, losses


@pytest.mark.parametrize("family", [("sgd", "momentum", "nesterov"), ("rmsprop", "adam", "adamw", "radam")])
@pytest.mark.parametrize("schedule", [Schedule(), RAMP], ids=["no warmup", "ramp and cosine"])
def test_each_run_equals_the_same_run_trained_alone(family: tuple[str, ...], schedule: Schedule) -> None:
    runs = [RunSpec(arm(name, schedule), LRS.get(name, 3e-3), seed) for seed in (3, 11) for name in family]
    traces = ensemble.train(config(UPDATES, BATCH, UPDATES), runs, dtype=torch.float64)
    for r, run in enumerate(runs):
        task = tasks.load("digits-mlp").of_seed(run.seed)
        model, losses = alone(run)
        np.testing.assert_allclose(traces.train_loss[:, r].numpy(), losses, rtol=1e-6)
        with torch.no_grad():
            final = task.loss(model(task.splits.test.inputs.double()), task.splits.test.targets)
        assert traces.test_loss[r].item() == pytest.approx(final.item(), rel=1e-9)


def adam_runs(seeds: tuple[int, ...]) -> list[RunSpec]:
    return runs_of("adam", 3e-3, seeds, RAMP)


def test_same_seed_same_bits_twice_and_other_seeds_differ() -> None:
    shared = config(UPDATES, BATCH, 20)
    first, second = (ensemble.train(shared, adam_runs((1, 1, 2))) for _ in range(2))
    assert torch.equal(first.train_loss, second.train_loss)
    assert torch.equal(first.validation_loss, second.validation_loss)
    assert torch.equal(first.train_loss[:, 0], first.train_loss[:, 1])
    assert not torch.equal(first.train_loss[:, 0], first.train_loss[:, 2])


def test_a_run_does_not_depend_on_what_it_is_stacked_with() -> None:
    shared = config(UPDATES, BATCH, 20)
    small = ensemble.train(shared, adam_runs((5,)), dtype=torch.float64)
    large = ensemble.train(shared, adam_runs((4, 5, 6, 7)), dtype=torch.float64)
    torch.testing.assert_close(small.train_loss[:, 0], large.train_loss[:, 1], rtol=1e-6, atol=0)


def test_compiled_training_equals_eager_training_to_rounding() -> None:
    runs = adam_runs((1, 2, 3))
    eager, compiled = (
        ensemble.train(config(UPDATES, BATCH, 20), runs, compiled=how, dtype=torch.float64) for how in (False, True)
    )
    torch.testing.assert_close(eager.train_loss, compiled.train_loss[:, : len(runs)], rtol=1e-6, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device that torch can use")
@pytest.mark.parametrize("compiled", [False, True], ids=["Python", "native"])
def test_a_gpu_trains_what_the_processor_trains(compiled: bool) -> None:
    places = (config(UPDATES, BATCH, 20, device=device) for device in ("cpu", "cuda"))
    here, there = (
        ensemble.train(place, adam_runs((1, 2, 3)), compiled=compiled, dtype=torch.float64) for place in places
    )
    torch.testing.assert_close(there.train_loss.cpu(), here.train_loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(there.test_loss.cpu(), here.test_loss, rtol=1e-6, atol=0)


def test_divergence_is_recorded_with_its_update_and_spares_the_others() -> None:
    runs = [run for lr in (0.1, 1e30) for run in runs_of("sgd", lr, (1,))]
    traces = ensemble.train(config(30, BATCH, 10), runs)
    healthy, diverged = traces.diverged_at
    assert healthy == 0 and np.isfinite(traces.test_loss[0].item())
    assert 1 <= diverged <= 4 and not np.isfinite(traces.test_loss[1].item())
    losses = traces.train_loss[:, 1]
    assert losses[:diverged].isfinite().all() and not losses[diverged].isfinite()


def test_training_ends_early_once_every_run_has_diverged() -> None:
    traces = ensemble.train(config(100, BATCH, 10), runs_of("sgd", 1e30, (1, 2)))
    assert (traces.diverged_at > 0).all()
    assert traces.realised_lr[9].isfinite().all() and traces.realised_lr[10:].isnan().all()


def test_weights_keep_their_bits_while_the_learning_rate_is_zero() -> None:
    still = Schedule(warmup="zero", length=25)
    runs = [RunSpec(arm(name, still), 0.01, 1) for name in ("rmsprop", "adam", "adamw")]
    traces = ensemble.train(config(40, BATCH, 5), runs)
    losses = traces.validation_loss
    assert torch.equal(losses[5], losses[0]) and not torch.equal(losses[6], losses[0])


def test_realised_rates_are_those_of_the_formula_to_the_bit() -> None:
    lr, schedule = 0.3, RAMP
    traces = ensemble.train(config(UPDATES, BATCH, 20), runs_of("sgd", lr, (1,), schedule))
    formula = np.asarray(audit_reference(schedule, lr, UPDATES), np.float32)
    assert np.array_equal(traces.realised_lr[:, 0].numpy(), formula)
    late = Schedule(warmup="ramp", length=21, decay="cosine")
    assert not np.array_equal(formula, np.asarray(audit_reference(late, lr, UPDATES), np.float32))


def test_each_epoch_shows_every_example_once() -> None:
    order = batches.batch_order(7, examples=50, batch=10, updates=12)
    epochs = order.reshape(-1)[:100].reshape(2, 50)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert not np.array_equal(*epochs)
    assert np.array_equal(order[:6], batches.batch_order(7, 50, 10, 6))


@pytest.mark.parametrize(("updates", "every"), [(10, 10), (10, 3), (1, 10), (20, 1)])
def test_losses_are_evaluated_at_both_ends(updates: int, every: int) -> None:
    evaluated = config(updates, BATCH, every).evaluated
    assert evaluated[0] == 0 and evaluated[-1] == updates
    assert all(0 < later - earlier <= every for earlier, later in pairwise(evaluated))
