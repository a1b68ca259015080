"""The lab's controls: one widget for each of a setup's numbers, each named, in the order of the keyboard's tab."""

import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import ipywidgets as widgets

from warmup_study import tasks
from warmup_study.lab.parameters import OFFERED, Setup
from warmup_study.lab.setups import rule
from warmup_study.parameters import checked
from warmup_study.presentation.style import OPTIMIZERS, WARMUPS
from warmup_study.training import schedules
from warmup_study.training.optimizers import KERNELS, SETTINGS, Kernel

BETAS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
UPDATES = (50, 100, 150, 200, 300, 500, 1000)
RATES = (-5.0, 1.0)  # powers of ten
SIGNIFICANT = 3  # digits of a rate that the slider gives
USUAL_LR: dict[Kernel, float] = {"momentum": 0.1, "adaptive": 0.03, "sign": 0.003, "orthogonal": 0.03}

_LAYOUT = {"width": "auto", "min_width": "0"}
_STYLE = {"description_width": "84px"}


class Controls:
    """Widgets that hold one setup. ``on_change`` is called after every change of it, by hand or by `show`."""

    def __init__(self, setup: Setup, on_change: Callable[[], None]) -> None:
        self._on_change, self._quiet = on_change, False
        self._rates = USUAL_LR | {rule(setup).kernel: setup.lr}
        self._made = {field: make(setup) for field, make in _MAKERS.items()}
        self.widgets: tuple[Any, ...] = tuple(self._made.values())
        self._made["optimizer"].observe(self._take_usual_numbers, "value")
        self._made["updates"].observe(self._bound_length, "value")
        for widget in self.widgets:
            widget.observe(self._changed, "value")
        self._hide_idle()

    @property
    def setup(self) -> Setup:
        """What the widgets say. Raises ``StudyError``, in one line, for what cannot be trained."""
        values = {field: widget.value for field, widget in self._made.items()}
        return checked(Setup, values | {"lr": float(f"{values['lr']:.{SIGNIFICANT}g}")})

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self._hide_idle()
            self._on_change()

    def _take_usual_numbers(self, change: Any) -> None:
        """Another optimiser comes with its own momentum and betas, another kernel with the rate last used with it."""
        old, new = (KERNELS[change[side]] for side in ("old", "new"))
        self._quiet = True
        try:
            for field in SETTINGS[change["new"]].keys() & {"momentum", "beta1", "beta2"}:
                self._made[field].value = SETTINGS[change["new"]][field]
            if new != old:
                self._rates[old] = self._made["lr"].value
                self._made["lr"].value = self._rates[new]
        finally:
            self._quiet = False

    def _bound_length(self, change: Any) -> None:
        self._made["length"].max = change["new"]

    def _hide_idle(self) -> None:
        """Show only what the optimiser and the warmup use."""
        taken, warmed = SETTINGS[self._made["optimizer"].value], self._made["warmup"].value != "none"
        for field in ("momentum", "beta1", "beta2"):
            self._made[field].layout.display = None if field in taken else "none"
        self._made["length"].layout.display = None if warmed else "none"


def probe_picker(chosen: str) -> Any:
    """Which probe is drawn beside the others."""
    offered = [("none", ""), *((name.replace("_", " "), name) for name in OFFERED)]
    return _named(
        widgets.Dropdown,
        "also show",
        "a probe of the first few seeds; sharpness takes a few seconds",
        options=offered,
        value=chosen if chosen in OFFERED else "",
    )


def _named(kind: Callable[..., Any], description: str, tooltip: str, **settings: Any) -> Any:
    return kind(description=description, tooltip=tooltip, layout=widgets.Layout(**_LAYOUT), style=_STYLE, **settings)


def _task(setup: Setup) -> Any:
    options = dict.fromkeys((*tasks.names(), setup.task))
    return _named(widgets.Dropdown, "task", "data and network", options=list(options), value=setup.task)


def _optimizer(setup: Setup) -> Any:
    options = [(look.label, name) for name, look in OPTIMIZERS.items() if name in SETTINGS]
    return _named(widgets.Dropdown, "optimiser", "update rule", options=options, value=setup.optimizer)


def _share(field: str, description: str, tooltip: str) -> Callable[[Setup], Any]:
    def make(setup: Setup) -> Any:
        value = getattr(setup, field)
        return _steps(description, tooltip, BETAS, value)

    return make


def _steps(description: str, tooltip: str, usual: Sequence[float], value: float) -> Any:
    """A slider over the usual values and the one given."""
    options = [(f"{number:g}", number) for number in sorted({*usual, value})]
    return _named(widgets.SelectionSlider, description, tooltip, options=options, value=value, continuous_update=False)


def _warmup(setup: Setup) -> Any:
    options = [(look.label, name) for name, look in WARMUPS.items() if name in _warmups()]
    return _named(widgets.Dropdown, "warmup", "how the LR reaches its peak", options=options, value=setup.warmup)


def _warmups() -> tuple[str, ...]:
    return get_args(Setup.model_fields["warmup"].annotation)


def _length(setup: Setup) -> Any:
    return _named(
        widgets.IntSlider,
        "length",
        "length of warmup in updates",
        min=0,
        max=setup.updates,
        value=setup.length,
        continuous_update=False,
    )


def _lr(setup: Setup) -> Any:
    power = math.log10(setup.lr)
    return _named(
        widgets.FloatLogSlider,
        "peak LR",
        "learning rate at the end of warmup",
        base=10,
        step=0.05,
        value=setup.lr,
        min=min(RATES[0], math.floor(power)),
        max=max(RATES[1], math.ceil(power)),
        readout_format=".3g",
        continuous_update=False,
    )


def _decay(setup: Setup) -> Any:
    words = {"constant": "none", "cosine": "cosine", "inverse_sqrt": "inverse square root"}
    options = [(words[name], name) for name in get_args(schedules.Decay)]
    return _named(widgets.Dropdown, "decay", "schedule after warmup", options=options, value=setup.decay)


def _updates(setup: Setup) -> Any:
    return _steps("updates", "updates per run", UPDATES, setup.updates)


def _seeds(setup: Setup) -> Any:
    return _named(
        widgets.BoundedIntText, "seeds", "runs that differ only in their seed", min=1, max=200, value=setup.seeds
    )


_MAKERS: dict[str, Callable[[Setup], Any]] = {
    "task": _task,
    "optimizer": _optimizer,
    "momentum": _share("momentum", "momentum", "μ: share of the velocity kept at each update"),
    "beta1": _share("beta1", "β₁", "share of the first moment kept at each update"),
    "beta2": _share("beta2", "β₂", "share of the second moment kept at each update"),
    "warmup": _warmup,
    "length": _length,
    "lr": _lr,
    "decay": _decay,
    "updates": _updates,
    "seeds": _seeds,
}
