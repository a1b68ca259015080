"""Design: find the learning rates, then {no warmup, ramps of three lengths, lr = 0} over a grid around the best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import pandas as pd
from IPython.display import display
from pandas.io.formats.style import Styler
from pydantic import Field, field_validator

from warmup_study import tasks
from warmup_study.chapters.design import device_of
from warmup_study.errors import StudyError
from warmup_study.files import file_name
from warmup_study.parameters import CommonParameters, Rates, Whole, validate
from warmup_study.presentation.canvas import StudyFigure
from warmup_study.running.forecast import Cost, cost
from warmup_study.running.pilot import Pilot, find_learning_rates
from warmup_study.running.store import write_runs
from warmup_study.running.sweep import sweep
from warmup_study.training.experiment import Arm, Experiment
from warmup_study.training.optimizers import Optimizer
from warmup_study.training.schedules import Schedule
from warmup_study.training.table import from_frame

NOTEBOOK = "your_network"
PyTorchName = Literal[
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "radam", "adagrad", "lion", "signsgd", "muon"
]  # those of which there are lines to paste
RAMPS = (0.02, 0.05, 0.25)  # lengths of the ramps tried, as shares of the run
USUAL = RAMPS[1]  # the one that answers whether and when
UPDATES = {"smoke": 30, "quick": 400}
FEWEST_UPDATES = 30  # with fewer, two of the ramps have the same length
SEEDS = {"smoke": (3, 3), "quick": (6, 12)}  # at least, and at most where there is time
FIRST_SEED = 8_000  # no chapter's seeds
LOWEST = 3  # halvings below the best learning rate
HIGHEST = (3, 6)  # doublings above it: at least, and at most where high learning rates train
BUDGET = 110.0  # seconds that the runs may take before the number of seeds shrinks


class Parameters(CommonParameters):
    """What the notebook takes."""

    preset: Literal["smoke", "quick"] = Field("quick", description="smoke or quick")
    task: str = Field("digits-transformer", description="one built-in task, or module:function of your own")
    optimizer: PyTorchName = Field("adam", description=f"one of {', '.join(get_args(PyTorchName))}")
    updates: Whole = Field(0, ge=0, le=100_000, description="a whole number from 0 (the preset's) to 100000")
    batch: Whole = Field(0, ge=0, le=4096, description="a whole number from 0 (the task's) to 4096")
    lrs: Rates = Field((), description="positive numbers joined by commas (empty: found by a pilot)")

    @field_validator("task")
    @classmethod
    def _is_one(cls, value: str) -> str:
        """Refuse several tasks, and none."""
        if not value.strip() or "," in value:
            raise ValueError("this notebook takes exactly one task")
        return value.strip()

    @field_validator("updates")
    @classmethod
    def _holds_a_ramp(cls, value: int) -> int:
        """Refuse a run too short for three ramps that differ."""
        if 0 < value < FEWEST_UPDATES:
            raise ValueError(f"a run of fewer than {FEWEST_UPDATES} updates is too short for three different ramps")
        return value

    @field_validator("lrs")
    @classmethod
    def _make_a_curve(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        """Refuse a grid without a learning rate on either side of the best."""
        if value and len(value) < 3:
            raise ValueError("a curve needs at least three")
        return value


@dataclass(frozen=True)
class YourNetwork:
    """One network, optimiser and length of run, and what is trained to answer for them."""

    parameters: Parameters

    @property
    def task(self) -> tasks.Task:
        """The task that is asked about."""
        return tasks.load(self.parameters.task)

    @property
    def name(self) -> str:
        """What its files are called, so that no other network's or optimiser's replace them."""
        return own_name(self.parameters.task, self.parameters.optimizer)

    @property
    def updates(self) -> int:
        """Updates of each run."""
        return self.parameters.updates or UPDATES[self.parameters.preset]

    @property
    def batch(self) -> int:
        """Examples in a batch."""
        return self.parameters.batch or self.task.batch

    @property
    def optimizer(self) -> Optimizer:
        """The update rule, with its usual settings."""
        return Optimizer(name=self.parameters.optimizer)

    @property
    def ramps(self) -> tuple[int, ...]:
        """Lengths in updates of the ramps tried, ascending."""
        return tuple(max(1, round(share * self.updates)) for share in RAMPS)

    @property
    def usual(self) -> int:
        """Length of the ramp that stands for warmup, and of the stretch at learning rate 0."""
        return max(1, round(USUAL * self.updates))

    @cached_property
    def pilot(self) -> Pilot | None:
        """What the pilot found, trained on first use; None where learning rates were given."""
        if self.parameters.lrs:
            return None
        return find_learning_rates(
            self.parameters.task,
            self.optimizer,
            updates=self.updates,
            batch=self.batch,
            folder=self.parameters.folders.cache,
            device=device_of(self.parameters),
        )

    @cached_property
    def lrs(self) -> tuple[float, ...]:
        """The grid: those given, else factors of two around the pilot's best to where training fails."""
        if self.pilot is None:
            return self.parameters.lrs
        reach = math.ceil(math.log2(self.pilot.highest_trained / self.pilot.best)) + 1
        highest = min(max(reach, HIGHEST[0]), HIGHEST[1])
        return tuple(float(f"{self.pilot.best * 2.0**step:.12g}") for step in range(-LOWEST, highest + 1))

    @cached_property
    def cost(self) -> Cost:
        """What a run costs, timed when the notebook was first opened on this network; it sets the number of seeds."""
        few = self._experiment(SEEDS["quick"][0]).chunks()[0]
        return cost(few, self.parameters.folders.cache)

    @cached_property
    def seeds(self) -> int:
        """How many seeds: those asked for, else as many as the time allows."""
        if self.parameters.seeds:
            return self.parameters.seeds
        fewest, most = SEEDS[self.parameters.preset]
        affordable = most * BUDGET / max(1e-9, self.forecast(seeds=most))
        return int(min(max(affordable, fewest), most))

    def forecast(self, seeds: int = 0) -> float:
        """Seconds that the runs take on this machine, about, on so many seeds (0: as planned)."""
        chunks = self._experiment(seeds or self.seeds).chunks()
        return self.cost.of(chunks) / self.cost.cores

    def _count(self, seeds: int) -> int:
        return len(self._arms) * len(self.lrs) * seeds

    @property
    def experiment(self) -> Experiment:
        """What is trained: every arm at every learning rate from every seed."""
        return self._experiment(self.seeds)

    def _experiment(self, seeds: int) -> Experiment:
        return Experiment(
            part="grid",
            task=self.parameters.task,
            arms=self._arms,
            lrs=self.lrs,
            seeds=tuple(range(FIRST_SEED, FIRST_SEED + seeds)),
            updates=self.updates,
            batch=self.batch,
            evaluate_every=self.updates,
            device=device_of(self.parameters),
        )

    @property
    def _arms(self) -> tuple[Arm, ...]:
        schedules = [
            Schedule(decay="cosine"),
            *[Schedule(warmup="ramp", length=length, decay="cosine") for length in dict.fromkeys(self.ramps)],
            Schedule(warmup="zero", length=self.usual, decay="cosine"),
        ]
        return tuple(
            Arm(label=f"{plan.warmup}/{plan.length}", optimizer=self.optimizer, schedule=plan) for plan in schedules
        )

    def plan(self) -> Styler:
        """What will be trained, as a table."""
        low, high = self.lrs[0], self.lrs[-1]
        shown = {
            "network": self.task.title,
            "optimiser": self.parameters.optimizer,
            "learning rates": f"{len(self.lrs)} from {low:.3g} to {high:.3g}, "
            + ("as given" if self.pilot is None else "a factor of 2 apart, around the pilot's best"),
            "warmup": f"none; ramps of {', '.join(map(str, self.ramps))} updates; {self.usual} "
            "updates at learning rate 0",
            "updates": f"{self.updates}, cosine decay, batches of {self.batch}",
            "seeds": str(self.seeds),
            "runs": f"{self._count(self.seeds):,}",
            "time": f"about {self.forecast():.0f} s if nothing is stored yet",
        }
        return pd.DataFrame({"": shown}).style.hide(axis="columns")

    def run(self) -> pd.DataFrame:
        """The table of runs, trained now where the cache lacks them, and written to the results folder."""
        folders = self.parameters.folders
        print(f"{self._count(self.seeds):,} runs: about {self.forecast():.0f} s if nothing is stored yet")
        runs = sweep([self.experiment], folders.cache, scheduler=self.parameters.scheduler)
        write_runs(folders.results / f"{self.name}.parquet", from_frame(runs))
        return runs

    def show(self, figure: StudyFigure, name: str) -> None:
        """Save a figure under the name of what is asked, and show it."""
        display(figure.save(self.parameters.folders, self.name, name))


def own_name(task: str, optimizer: str) -> str:
    """The notebook's name with the task's, and with the optimiser's unless it is the usual one, as part of a path."""
    asked = task if optimizer == Parameters.model_fields["optimizer"].default else f"{task}-{optimizer}"
    return f"{NOTEBOOK}-{file_name(asked)}"


def open_notebook(namespace: Mapping[str, Any]) -> YourNetwork:
    """The notebook's run, with its parameters checked: ``open_notebook(globals())``.

    Raises ``StudyError``, in one line, for a parameter that is unknown, of the wrong type or out of range.
    """
    network = YourNetwork(validate(Parameters, namespace))
    most = len(network.task.splits.train)
    if network.batch > most:
        raise StudyError(f"batch: got {network.batch}; takes at most {most}, the number of training examples")
    return network
