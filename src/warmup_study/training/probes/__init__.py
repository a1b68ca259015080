"""Probes: what single updates did to every run of an ensemble, measured from its parameters, gradients and state.

A probe is a function of one :class:`UpdateContext`, the view of one update of all runs, that returns one number per
run. An experiment names the probes it wants; what they need beyond the update itself is computed only if one asks for
it.
"""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from warmup_study.training.optimizers import Kernel
from warmup_study.training.probes import attention, critical_lr, curvature, dead_units, paired, updates
from warmup_study.training.probes.context import UpdateContext, flat

__all__ = ["KERNEL_OF", "PROBES", "ProbeName", "UpdateContext", "flat"]

ProbeName = Literal[
    "update_size",
    "update_mean",
    "update_norm",
    "alignment",
    "batch_loss",
    "training_loss",
    "velocity_norm",
    "velocity_alignment",
    "second_moment_drift",
    "sharpness",
    "preconditioned_sharpness",
    "gradient_snr",
    "update_angle",
    "critical_lr",
    "dead_share",
    "inside_loss",
    "outside_loss",
    "displacement",
    "attention_logit",
    "attention_entropy",
    "gradient_embedding",
    "gradient_first_block",
    "gradient_last_block",
    "gradient_head",
]
PROBES: dict[ProbeName, Callable[[UpdateContext], Tensor]] = {
    "update_size": updates.update_size,
    "update_mean": updates.update_mean,
    "update_norm": updates.update_norm,
    "alignment": updates.alignment,
    "batch_loss": updates.batch_loss,
    "training_loss": updates.training_loss,
    "velocity_norm": updates.velocity_norm,
    "velocity_alignment": updates.velocity_alignment,
    "second_moment_drift": updates.second_moment_drift,
    "sharpness": curvature.sharpness,
    "preconditioned_sharpness": curvature.preconditioned_sharpness,
    "gradient_snr": updates.gradient_snr,
    "update_angle": updates.update_angle,
    "critical_lr": critical_lr.critical_lr,
    "dead_share": dead_units.dead_share,
    "inside_loss": paired.inside_loss,
    "outside_loss": paired.outside_loss,
    "displacement": paired.displacement,
    "attention_logit": attention.attention_logit,
    "attention_entropy": attention.attention_entropy,
    "gradient_embedding": attention.gradient_embedding,
    "gradient_first_block": attention.gradient_first_block,
    "gradient_last_block": attention.gradient_last_block,
    "gradient_head": attention.gradient_head,
}
"""Every probe by name; the names are also columns of the table of runs."""
KERNEL_OF: dict[str, Kernel] = {
    "velocity_norm": "momentum",
    "velocity_alignment": "momentum",
    "second_moment_drift": "adaptive",
    "preconditioned_sharpness": "adaptive",
}
"""The one kernel whose state a probe reads; all other probes take optimisers of any."""
