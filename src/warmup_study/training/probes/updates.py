"""Probes of single updates: how long a step was, which way it led, and what the optimiser's state held."""

import torch
from torch import Tensor

from warmup_study.training.probes.context import UpdateContext, cosine, flat, length


def update_size(seen: UpdateContext) -> Tensor:
    """Root mean square of |Δθ|/η over the parameters that moved; NaN where none did.

    A dead unit's gradient is exactly 0: it has no step to measure.
    """
    return torch.div((seen.step.square().sum(1) / (seen.step != 0).sum(1)).sqrt(), seen.rate)


def update_mean(seen: UpdateContext) -> Tensor:
    """Mean of |Δθ|/η over the parameters that moved; NaN where none did."""
    return torch.div(seen.step.abs().sum(1) / (seen.step != 0).sum(1), seen.rate)


def update_norm(seen: UpdateContext) -> Tensor:
    """Euclidean norm of Δθ."""
    return length(seen.step)


def alignment(seen: UpdateContext) -> Tensor:
    """Cosine between the step taken and the full-batch descent direction: 1 is straight downhill, below 0 is up."""
    return cosine(seen.step, seen.descent)


def batch_loss(seen: UpdateContext) -> Tensor:
    """Loss of the update's batch, at the weights before it."""
    return seen.loss


def training_loss(seen: UpdateContext) -> Tensor:
    """Mean loss on some training examples, evenly spread over the split, at the weights before the update."""
    return seen.full_batch.losses(seen.before)


def velocity_norm(seen: UpdateContext) -> Tensor:
    """Euclidean norm of the velocity after the update (momentum kernel only)."""
    return length(flat(seen.state["velocity"]))


def velocity_alignment(seen: UpdateContext) -> Tensor:
    """Cosine between minus the velocity and the full-batch descent direction (momentum kernel only)."""
    return cosine(-flat(seen.state["velocity"]), seen.descent)


def second_moment_drift(seen: UpdateContext) -> Tensor:
    """Mean |ln √v̂ − ln √s| over parameters: how far the bias-corrected estimate v̂ is from a fresh one (adaptive only).

    ``s`` is the mean squared batch gradient at the weights before the update. 0 is an up-to-date estimate; 1 is wrong
    by a factor e. Parameters for which either is 0 do not count. Adagrad's sum over t updates is larger by ln √t in
    itself.
    """
    stale = flat(seen.state["second"]).sqrt() * seen.row["root"][:, None]
    fresh = seen.squared_gradient.sqrt()
    counted = (stale > 0) & (fresh > 0)
    ratio = torch.where(counted, (stale / fresh).log().abs(), 0.0)
    return torch.div(ratio.sum(1), counted.sum(1))


def gradient_snr(seen: UpdateContext) -> Tensor:
    """Signal-to-noise ratio of a batch gradient, at the weights before the update: |ḡ|² over the noise's variance.

    The variance is summed over parameters, as the mean squared length of fresh batch gradients beyond that of the
    gradient ḡ over all examples. Below 1 a batch tells more of chance than of the way downhill.
    """
    signal = seen.descent.square().sum(1)
    return torch.div(signal, seen.squared_gradient.sum(1) - signal)


def update_angle(seen: UpdateContext) -> Tensor:
    """Angle in radians by which the update turns a layer's weights, mean over the weight matrices.

    What relative size of a step matters to a layer whose output is normalised, and to a ReLU network nearly so (Kosson
    et al. 2024, arXiv 2305.17212).
    """
    angles = []
    for name, weights in seen.before.items():
        if weights.ndim > 2:  # stacked: a matrix or more for each run
            old, new = weights.flatten(1), seen.after[name].flatten(1)
            angles.append(
                2
                * torch.atan2(
                    length(old / _column(old) - new / _column(new)), length(old / _column(old) + new / _column(new))
                )
            )
    return torch.stack(angles).mean(0)


def _column(rows: Tensor) -> Tensor:
    return length(rows)[:, None]
