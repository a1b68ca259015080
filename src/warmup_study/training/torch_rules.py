"""Update rules for one network: ``torch.optim``'s where it has the rule, else the study's own on a stack of one."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from warmup_study.training import optimizers
from warmup_study.training.optimizers import Optimizer

Stacks = dict[str, Tensor]
Leaves = Mapping[str, nn.Parameter]

_KEPT = {
    "velocity": ("momentum_buffer",),
    "first": ("exp_avg",),
    "second": ("exp_avg_sq", "square_avg", "sum"),
}
"""What torch calls the state of the study's kernels."""
_SQUARES_ALONE = {"rmsprop": "square_avg", "adagrad": "sum"}  # rules without a first moment
_BY_NAME: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
}
_NOT_TORCHS = {"momentum_lr_inside", "lion", "signsgd", "muon"}  # its Muon rounds to bfloat16, and takes no vectors
_TORCHS_OWN = {"name", "momentum", "beta1", "beta2", "eps", "weight_decay", "updates_before"}


class Rule(Protocol):
    """Updates the parameters it was made for, by their gradients and one row of coefficients."""

    @property
    def state(self) -> dict[str, Stacks]:
        """The state by kind, as the stacks have it."""

    def step(self, row: Mapping[str, Tensor]) -> None:
        """Carry out one update."""

    def load(self, state: Mapping[str, Stacks]) -> None:
        """Go on from copies of this state."""


def torch_rule(optimizer: Optimizer, leaves: Leaves, matrices: Collection[str] = ()) -> Rule:
    """The rule for these parameters, of which Muon takes those named in ``matrices`` as such."""
    made = _torchs(optimizer, list(leaves.values()))
    return _StudyRule(optimizer, leaves, matrices) if made is None else _TorchRule(made, optimizer, leaves)


class _TorchRule:
    def __init__(self, made: torch.optim.Optimizer, optimizer: Optimizer, leaves: Leaves) -> None:
        self.made, self.leaves = made, leaves
        self.kinds = tuple(optimizers.initial_state(optimizer.kernel, {}))
        self.optimizer = optimizer
        if optimizer.updates_before:
            self.load(
                optimizers.initial_state(optimizer.kernel, {name: leaf.detach() for name, leaf in leaves.items()})
            )

    def load(self, state: Mapping[str, Stacks]) -> None:
        step = torch.tensor(float(self.optimizer.updates_before))
        for name, leaf in self.leaves.items():
            kept = {
                own: torch.as_tensor(state[kind][name]).to(leaf, copy=True) for kind, own in self._own_names.items()
            }
            self.made.state[leaf] = {"step": step.clone()} | kept

    @property
    def _own_names(self) -> dict[str, str]:
        """What torch calls the state that it keeps itself, by kind."""
        if self.optimizer.kernel == "momentum":
            return {"velocity": "momentum_buffer"} if self.optimizer.momentum else {}
        if self.optimizer.name in _SQUARES_ALONE:
            return {"second": _SQUARES_ALONE[self.optimizer.name]}
        return {"first": "exp_avg", "second": "exp_avg_sq"}

    def step(self, row: Mapping[str, Tensor]) -> None:
        self.made.param_groups[0]["lr"] = float(row["lr"])
        self.made.step()

    @property
    def state(self) -> dict[str, Stacks]:
        return {kind: {name: self._kept(leaf, kind) for name, leaf in self.leaves.items()} for kind in self.kinds}

    def _kept(self, leaf: nn.Parameter, kind: str) -> Tensor:
        """What torch keeps, or what stands for it: the velocity of plain SGD, the first moment of RMSProp
        and Adagrad are the gradient.
        """
        kept = self.made.state.get(leaf, {})
        found = next((kept[name] for name in _KEPT[kind] if kept.get(name) is not None), leaf.grad)
        return torch.zeros_like(leaf) if found is None else found


class _StudyRule:
    def __init__(self, optimizer: Optimizer, leaves: Leaves, matrices: Collection[str]) -> None:
        self.kernel, self.leaves = optimizer.kernel, leaves
        self.params = {name: leaf.detach()[None] for name, leaf in leaves.items()}  # the same memory
        self.stacks = optimizers.initial_state(self.kernel, self.params, matrices)

    def step(self, row: Mapping[str, Tensor]) -> None:
        grads = {
            name: torch.zeros_like(leaf)[None] if leaf.grad is None else leaf.grad[None]
            for name, leaf in self.leaves.items()
        }
        optimizers.apply(
            self.kernel, self.params, grads, self.stacks, {name: value[None] for name, value in row.items()}
        )

    def load(self, state: Mapping[str, Stacks]) -> None:
        for kind, stacks in self.stacks.items():
            for name, stack in stacks.items():
                stack[0].copy_(state[kind][name])

    @property
    def state(self) -> dict[str, Stacks]:
        return {kind: {name: stack[0] for name, stack in stacks.items()} for kind, stacks in self.stacks.items()}


def _torchs(optimizer: Optimizer, leaves: list[nn.Parameter]) -> torch.optim.Optimizer | None:
    """torch's own rule of these settings; None where it has none."""
    usual = Optimizer(name=optimizer.name)
    switches = set(Optimizer.model_fields) - _TORCHS_OWN
    switched = any(getattr(optimizer, name) != getattr(usual, name) for name in switches)
    unseen = optimizer.name == "sgd" and optimizer.weight_decay  # torch keeps no trace of the decay for probes
    if switched or unseen or optimizer.name in _NOT_TORCHS:
        return None
    decay: dict[str, Any] = {"weight_decay": optimizer.weight_decay}
    if optimizer.kernel == "momentum":
        nesterov = optimizer.name == "nesterov" and bool(optimizer.momentum)
        return torch.optim.SGD(leaves, momentum=optimizer.momentum or 0.0, nesterov=nesterov, **decay)
    adaptive: dict[str, Any] = decay | {"eps": optimizer.eps}
    if optimizer.name == "rmsprop":
        return torch.optim.RMSprop(leaves, alpha=optimizer.beta2 or 0.0, **adaptive)
    if optimizer.name == "adagrad":
        return torch.optim.Adagrad(leaves, **adaptive)
    betas = optimizer.beta1, optimizer.beta2
    return _BY_NAME[optimizer.name](leaves, betas=betas, **adaptive)
