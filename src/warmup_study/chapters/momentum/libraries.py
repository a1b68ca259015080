"""Which libraries use which form of momentum, and what their velocity holds after updates at a learning rate of 0.

Forms are those of each library's documentation or source; torch and scikit-learn are run here, too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer  # what MLPClassifier trains with

OUTSIDE, INSIDE = "momentum", "momentum_lr_inside"
FORMULAS = {OUTSIDE: "v ← μv + g, θ ← θ − ηv", INSIDE: "v ← μv − ηg, θ ← θ + v"}
FORM_OF = {
    "PyTorch, torch.optim.SGD": OUTSIDE,
    "Optax, sgd": OUTSIDE,
    "PaddlePaddle, Momentum": OUTSIDE,
    "TensorFlow Federated, build_sgdm": OUTSIDE,
    "Keras and TensorFlow, SGD": INSIDE,
    "scikit-learn, MLPClassifier": INSIDE,
    "MXNet, sgd_mom_update": INSIDE,
    "Caffe, SGDSolver": INSIDE,
}
"""By library and rule; up to sign, where a library's velocity points uphill."""


def velocity_at_rest(form: str, momentum: float, gradients: Sequence[float]) -> float:
    """Length of the velocity that a form has after these gradients, met at a learning rate of 0."""
    velocity = 0.0
    for gradient in gradients:
        velocity = momentum * velocity + (gradient if form == OUTSIDE else 0.0)
    return abs(velocity)


def of_torch(momentum: float, gradients: Sequence[float]) -> float:
    """Length of the velocity of torch.optim.SGD after these gradients at a learning rate of 0, by running it."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    rule = torch.optim.SGD([weight], lr=0.0, momentum=momentum)
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        rule.step()
    return abs(float(rule.state[weight]["momentum_buffer"]))


def of_scikit_learn(momentum: float, gradients: Sequence[float]) -> float:
    """Length of the velocity in scikit-learn's multilayer perceptrons after these gradients, by running its rule."""
    weights = [np.zeros(1)]
    rule = SGDOptimizer(weights, learning_rate_init=0.0, momentum=momentum, nesterov=False)
    for gradient in gradients:
        rule.update_params(weights, [np.array([gradient])])
    return abs(float(rule.velocities[0][0]))


RUN_HERE: dict[str, Callable[[float, Sequence[float]], float]] = {
    "PyTorch, torch.optim.SGD": of_torch,
    "scikit-learn, MLPClassifier": of_scikit_learn,
}


class Row(NamedTuple):
    """One library's momentum: a row of the table."""

    library: str
    rule: str
    velocity: float
    how: str


def table(momentum: float, gradients: Sequence[float]) -> pd.DataFrame:
    """Per library: its rule, and its velocity after these gradients at a learning rate of 0."""
    rows = [
        Row(name, FORMULAS[form], RUN_HERE[name](momentum, gradients), "run here")
        if name in RUN_HERE
        else Row(name, FORMULAS[form], velocity_at_rest(form, momentum, gradients), "from its documentation or source")
        for name, form in FORM_OF.items()
    ]
    return pd.DataFrame(rows)
