"""What can be said of an update rule: its name, the kernel that carries it out, and its settings."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Literal[
    "sgd",
    "momentum",
    "momentum_lr_inside",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    "radam",
    "adagrad",
    "lion",
    "signsgd",
    "muon",
]
Kernel = Literal["momentum", "adaptive", "sign", "orthogonal"]
Kept = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]

_VELOCITY: dict[str, Any] = {"weight_decay": 0.0, "momentum": 0.9, "momentum_ramp": 0, "reset_at": 0}
_SQUARES: dict[str, Any] = {
    "weight_decay": 0.0,
    "beta2": 0.999,
    "eps": 1e-8,
    "reset_at": 0,
    "keep_counter": False,
    "count2_from": 0,
    "updates_before": 0,
}
_CORRECTED: dict[str, Any] = {"bias_correction": True, "first_gradient_init": False}
_MOMENTS: dict[str, Any] = _SQUARES | {
    "beta1": 0.9,
    "first_moment_correction": True,
    "freeze_first_until": 0,
    "count1_from": 0,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"weight_decay": 0.0},
    "momentum": _VELOCITY,
    "momentum_lr_inside": _VELOCITY,
    "nesterov": _VELOCITY,
    "rmsprop": _SQUARES | _CORRECTED | {"beta2": 0.99, "bias_correction": False},
    "adam": _MOMENTS | _CORRECTED,
    "adamw": _MOMENTS | _CORRECTED | {"weight_decay": 0.01},
    "radam": _MOMENTS,
    "adagrad": {"weight_decay": 0.0, "eps": 1e-10, "reset_at": 0},
    "lion": {"weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99, "momentum_ramp": 0, "reset_at": 0},
    "signsgd": _VELOCITY,
    "muon": {
        "weight_decay": 0.0,
        "momentum": 0.95,
        "momentum_ramp": 0,
        "match_rms": True,
        "adam_lr_ratio": 1.0,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "reset_at": 0,
        "updates_before": 0,
    },
}
"""What each optimiser takes, with the defaults: torch's, and a momentum of 0.9 for SGD; Lion's are its paper's.

Muon's weight decay is 0, where torch has 0.1, and ``match_rms`` True, where torch has it off.
"""
KERNELS: dict[str, Kernel] = {
    "sgd": "momentum",
    "momentum": "momentum",
    "momentum_lr_inside": "momentum",
    "nesterov": "momentum",
    "rmsprop": "adaptive",
    "adam": "adaptive",
    "adamw": "adaptive",
    "radam": "adaptive",
    "adagrad": "adaptive",
    "lion": "sign",
    "signsgd": "sign",
    "muon": "orthogonal",
}
"""The kernel that carries out each rule; runs of one kernel can share a stack."""


class Optimizer(BaseModel):
    """An update rule and its settings; a setting that the rule has no use for is refused.

    Names are torch.optim's, with ``momentum`` and ``nesterov`` for its SGD; ``momentum_lr_inside`` puts the learning
    rate into the velocity, v <- mu v + lr g, p <- p - v (Sutskever et al. 2013, Caffe, TensorFlow), so that a change of
    rate acts on later gradients alone. ``beta2`` is also RMSProp's alpha. ``weight_decay`` is added to the gradient,
    but decoupled in ``adamw``, ``lion`` and ``muon``. None stands for the default of the rule (`SETTINGS`).

    ``lion`` (Chen et al. 2023, arXiv 2302.06675) steps by sign(beta1 m + (1 - beta1) g), then m <- beta2 m +
    (1 - beta2) g. ``signsgd`` is Signum (Bernstein et al. 2018, arXiv 1802.04434): m <- mu m + (1 - mu) g, then a step
    by sign(m). ``muon`` is torch.optim.Muon, with Nesterov's momentum, on the weights of linear layers, a network's
    head among them but no embedding, and AdamW on all other parameters (vectors, convolutions, positions):

    - ``match_rms``: a matrix's update is scaled by 0.2 sqrt(max(out, in)), to the size of AdamW's (torch's
      "match_rms_adamw", Liu et al. 2025, arXiv 2502.16982), else by sqrt(max(1, out/in)), torch's "original";
    - ``adam_lr_ratio``: AdamW's learning rate over that of the matrices, all through the schedule. 1 goes with
      ``match_rms``, which makes one learning rate fit both.

    Updates count from 1, and a switch at 0 is off:

    - ``momentum_ramp``: the momentum, beta1 in ``lion``, rises linearly, mu (i - 1)/k at update i <= k, then mu;
    - ``bias_correction``: divide the second moment by 1 - beta2^t (RAdam's is built in);
    - ``first_moment_correction``: divide the first moment by 1 - beta1^t;
    - ``first_gradient_init``: the first gradient, also the first after a reset, sets v = g^2;
    - ``freeze_first_until``: the first moment stays 0 up to this update, so that only decoupled weight decay acts;
    - ``reset_at``: all state is zeroed after this update. The counters t of both corrections start again, too,
      as the correction of a moment restarted from 0 has to, unless ``keep_counter`` lets them run on;
    - ``count1_from``, ``count2_from``: the counter of one moment alone starts again after this update;
    - ``updates_before``: the counters of both corrections start at this number, as where training goes on from a
      state that so many updates made; a reset sets them to 0 all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Name
    momentum: Kept | None = None
    beta1: Kept | None = None
    beta2: Kept | None = None
    eps: Annotated[float, Field(gt=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    momentum_ramp: Count = 0
    bias_correction: bool | None = None
    first_moment_correction: bool = True
    first_gradient_init: bool = False
    freeze_first_until: Count = 0
    reset_at: Count = 0
    keep_counter: bool = False
    count1_from: Count = 0
    count2_from: Count = 0
    updates_before: Count = 0
    match_rms: bool | None = None
    adam_lr_ratio: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        """Replace None by the default of the rule."""
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or name not in SETTINGS:
            return given  # for the field's own check to report
        return SETTINGS[name] | {field: value for field, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _refuse_idle_settings(self) -> "Optimizer":
        """Refuse a setting that would change nothing."""
        for field, info in type(self).model_fields.items():
            idle = field != "name" and field not in SETTINGS[self.name]
            if idle and getattr(self, field) != info.default:
                takes = ", ".join(sorted(SETTINGS[self.name]))
                raise ValueError(f"{self.name} has no {field}, got {getattr(self, field)!r}; it takes {takes}")
        return self

    @property
    def kernel(self) -> Kernel:
        """The kernel that carries out the rule; runs of one kernel can share a stack."""
        return KERNELS[self.name]
