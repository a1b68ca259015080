"""Small networks of every kind that people train with torch, as tasks by ``zoo:name``, on noise."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from warmup_study.tasks import Split, Splits, Task

STEPS, FEATURES, CLASSES, WORDS = 5, 6, 3, 11


def _splits(*, words: bool = False) -> Splits:
    chance = torch.Generator().manual_seed(0)
    shape = (40, STEPS) if words else (40, STEPS, FEATURES)

    def split() -> Split:
        drawn = torch.randint(WORDS, shape, generator=chance) if words else torch.randn(shape, generator=chance)
        return Split(drawn, torch.randint(CLASSES, (40,), generator=chance))

    return Splits(split(), split(), split())


def _task(name: str, model: Callable[[], nn.Module], *, words: bool = False) -> Task:
    return Task(name, f"noise, {name}", model, _splits(words=words), batch=8, stack=8)


def _flat(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(STEPS * FEATURES, 8), *layers, nn.Linear(8, CLASSES))


class Residual(nn.Module):
    """Two residual blocks of convolutions with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(2)
        )
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x[:, None])
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.head(x.mean((-1, -2)))
        return out


class Recurrent(nn.Module):
    """A head on the last step of one of torch's recurrent layers."""

    def __init__(self, layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.layer = layer(FEATURES, 7, batch_first=True)
        self.head = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer(x)[0][:, -1])
        return out


class Attending(nn.Module):
    """torch's own attention, with dropout of its weights."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__()
        self.shown, self.mix = shown, nn.MultiheadAttention(FEATURES, 2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.mix(x, x, x, need_weights=self.shown)[0].mean(1))
        return out


class Encoder(nn.Module):
    """torch's Transformer encoder with its default dropout, causal."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(FEATURES, 2, 12, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(STEPS, dtype=x.dtype)
        out: Tensor = self.head(self.encoder(x, mask=mask, is_causal=True).mean(1))
        return out


class Tied(nn.Module):
    """A model of words whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(WORDS, 6, padding_idx=0), nn.Linear(6, WORDS, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.embed(x).mean(1))[:, :CLASSES]
        return out


class Tempered(nn.Module):
    """A learned temperature (a parameter without dimensions) and random features in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature, self.head = nn.Parameter(torch.tensor(1.5)), nn.Linear(9, CLASSES)
        self.register_buffer("features", torch.randn(STEPS * FEATURES, 9), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.features, Tensor)
        out: Tensor = self.head((x.flatten(1) @ self.features).tanh()) / self.temperature
        return out


class Averaging(nn.Module):
    """A buffer that the forward pass binds anew instead of changing it."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = _flat(nn.Tanh())
        self.register_buffer("mean", torch.zeros(STEPS, FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        out: Tensor = self.net(x - self.mean)
        return out


class ByChance(nn.Module):
    """Random features in a plain attribute, which no stack can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = torch.randn(STEPS * FEATURES, 9), nn.Linear(9, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head((x.flatten(1) @ self.features.to(x)).tanh())
        return out


class Noisy(nn.Module):
    """Noise of the network's own on its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _flat(nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x + torch.randn_like(x) if self.training else x)
        return out


class Branching(nn.Module):
    """Another path for batches that are positive on average."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = _flat(nn.Tanh()), _flat(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.one(x) if x.mean() > 0 else self.other(x)
        return out


class Counting(nn.Module):
    """A plain count of the batches, by which the network changes."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.batches = _flat(nn.Tanh()), 0

    def forward(self, x: Tensor) -> Tensor:
        self.batches += self.training
        out: Tensor = self.net(x) * self.batches
        return out


class _Cubed(torch.autograd.Function):
    """A function with a gradient of its own, written the old way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        cubed: Tensor = 3 * x**2 * grads[0]
        return cubed


class Cubing(nn.Module):
    """That function between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(STEPS * FEATURES, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.one(x.flatten(1)).tanh()
        out: Tensor = self.other(_Cubed.apply(hidden))  # type: ignore[no-untyped-call]
        return out


def _frozen_backbone() -> nn.Module:
    net = _flat(nn.Tanh(), nn.Linear(8, 8), nn.ReLU())
    for layer in list(net)[:-1]:
        layer.requires_grad_(False)
    return net


def _channels() -> nn.Module:
    convolution = nn.Conv1d(STEPS, 8, 3, padding=1), nn.Dropout1d(0.3), nn.AlphaDropout(0.0)
    return nn.Sequential(*convolution, nn.Unflatten(2, (2, 3)), nn.Dropout2d(0.3), nn.Flatten(), nn.Linear(48, CLASSES))


def resnet() -> Task:
    return _task("resnet", Residual)


def batch_norm() -> Task:
    return _task("batch_norm", lambda: _flat(nn.BatchNorm1d(8), nn.ReLU()))


def cumulative() -> Task:
    return _task("cumulative", lambda: _flat(nn.BatchNorm1d(8, momentum=None), nn.ReLU()))


def dropout() -> Task:
    return _task("dropout", lambda: _flat(nn.Dropout(0.1, inplace=True), nn.ReLU(), nn.Dropout(0.5)))


def channels() -> Task:
    return _task("channels", _channels)


def attention() -> Task:
    return _task("attention", lambda: Attending(shown=False))


def shown_attention() -> Task:
    return _task("shown_attention", lambda: Attending(shown=True))


def encoder() -> Task:
    return _task("encoder", Encoder)


def embedding() -> Task:
    return _task("embedding", lambda: nn.Sequential(nn.Embedding(WORDS, 6), _Mean(), nn.Linear(6, CLASSES)), words=True)


def tied() -> Task:
    return _task("tied", Tied, words=True)


def frozen() -> Task:
    return _task("frozen", _frozen_backbone)


def tempered() -> Task:
    return _task("tempered", Tempered)


def averaging() -> Task:
    return _task("averaging", Averaging)


def weight_norm() -> Task:
    return _task("weight_norm", lambda: _flat(nn.Tanh(), parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU()))


def lstm() -> Task:
    return _task("lstm", lambda: Recurrent(nn.LSTM))


def gru() -> Task:
    return _task("gru", lambda: Recurrent(nn.GRU))


def rnn() -> Task:
    return _task("rnn", lambda: Recurrent(nn.RNN))


def by_chance() -> Task:
    return _task("by_chance", ByChance)


def noisy() -> Task:
    return _task("noisy", Noisy)


def branching() -> Task:
    return _task("branching", Branching)


def counting() -> Task:
    return _task("counting", Counting)


def cubing() -> Task:
    return _task("cubing", Cubing)


def few() -> Task:
    splits = Splits(*(Split(split.inputs[:5], split.targets[:5]) for split in _splits()))
    return replace(_task("few", lambda: _flat(nn.Tanh())), splits=splits)


def broken() -> Task:
    return _task("broken", lambda: nn.Linear(FEATURES + 1, CLASSES))


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


STACKED = (
    "resnet",
    "batch_norm",
    "dropout",
    "channels",
    "attention",
    "shown_attention",
    "encoder",
    "embedding",
    "tied",
    "frozen",
    "tempered",
    "averaging",
    "weight_norm",
)
"""Networks that train as a stack."""
REFUSED = {
    "lstm": "nn.LSTM cannot be stacked",
    "gru": "nn.GRU cannot be stacked",
    "rnn": "nn.RNN cannot be stacked",
    "cumulative": "nn.BatchNorm1d cannot be stacked",
    "by_chance": "ByChance cannot be stacked (its tensor `features` is no buffer)",
    "noisy": "Noisy cannot be stacked",
    "branching": "Branching cannot be stacked",
    "counting": "Counting cannot be stacked (it changes `batches`, which is no buffer)",
    "cubing": "Cubing cannot be stacked",
}
"""Networks whose runs train one by one, and what is said of the layer."""
