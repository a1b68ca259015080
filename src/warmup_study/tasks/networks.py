"""Networks of the study: plain ``nn.Module``s that know nothing of ensembles, seeds or warmup."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from warmup_study.tasks.layers import Conv1d, ExamplesLast, LayerNorm, Linear, contracted

Activation = Literal["relu", "leaky_relu", "tanh", "gelu"]
Norm = Literal["none", "layer"]
Placement = Literal["post", "pre"]
Init = Literal["torch", "he"]
Mixing = Literal["attention", "fixed"]

WIDTH = 16  # of every token in the study's Transformers: the d of their schedule's peak

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}


def mlp(
    inputs: int,
    outputs: int,
    *,
    width: int = 32,
    depth: int = 2,
    activation: Activation = "relu",
    norm: Norm = "none",
    init: Init = "torch",
) -> nn.Sequential:
    """A fully connected network of ``depth`` hidden layers: [batch, inputs] -> logits [batch, outputs].

    With ``norm="layer"`` each hidden layer is normalised before its activation (Ba et al. 2016, arXiv 1607.06450).
    torch's own initialisation lets signals fade with depth; ``init="he"`` keeps their size under ReLU (He et al. 2015,
    arXiv 1502.01852).
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([inputs, *[width] * depth]):
        layers.append(nn.Linear(fan_in, fan_out))
        if norm == "layer":
            layers.append(nn.LayerNorm(fan_out))
        layers.append(_ACTIVATIONS[activation]())
    network = nn.Sequential(*layers, nn.Linear(width if depth else inputs, outputs))
    return network.apply(_he_initialised) if init == "he" else network


def _he_initialised(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


def convolutional(inputs: int, outputs: int) -> ExamplesLast:
    """Two strided convolutions and a linear layer on a signal: [batch, inputs] -> logits [batch, outputs]."""
    narrow, wide = 8, 16
    length = -(-inputs // 4)  # either convolution halves the signal, rounding up
    return ExamplesLast(
        nn.Unflatten(0, (1, inputs)),
        Conv1d(1, narrow, 5, stride=2, padding=2),
        nn.ReLU(),
        Conv1d(narrow, wide, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(0, 1),
        Linear(wide * length, outputs),
    )


class Attention(nn.Module):
    """Multi-head self-attention over tokens [D, T, batch] (Vaswani et al. 2017, arXiv 1706.03762).

    Written out because torch's fused attention has no batching rule for ``vmap`` and would run one model at a time.
    A ``causal`` one lets each token look at itself and at those before it.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.to_qkv = Linear(width, 3 * width)
        self.to_out = Linear(width, width)
        self.softmax = nn.Softmax(2)  # a module of its own, so that what enters it can be watched

    def forward(self, tokens: Tensor) -> Tensor:
        """[D, T, batch] -> [D, T, batch]."""
        width, length, batch = tokens.shape
        each = width // self.heads
        queries, keys, values = self.to_qkv(tokens).view(3, self.heads, each, length, batch)
        queries = queries * (1 / math.sqrt(each))
        logits = contracted("hdib,hdjb->hijb", "hdijb", queries, keys)  # token i looks at token j
        if self.causal:
            ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
            logits = logits.masked_fill(ahead.unsqueeze(-1), -math.inf)
        mixed = contracted("hijb,hdjb->hdib", "hdijb", self.softmax(logits), values)
        return self.to_out(mixed.reshape(tokens.shape))  # type: ignore[no-any-return]


class FixedMixing(nn.Module):
    """Attention without attention: in each head a learnt [T, T] matrix of weights, the same for every input.

    Values, output and residual path are those of :class:`Attention`, so that what is missing is attention alone: the
    weights that depend on the tokens, and their softmax (Tay et al. 2020, arXiv 2005.00743, try the like).
    """

    def __init__(self, width: int, heads: int, tokens: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.to_values = Linear(width, width)
        self.to_out = Linear(width, width)
        bound = 1 / math.sqrt(tokens)  # as nn.Linear would draw the weights of a layer over the tokens
        self.weights = nn.Parameter(torch.empty(heads, tokens, tokens).uniform_(-bound, bound))

    def forward(self, tokens: Tensor) -> Tensor:
        """[D, T, batch] -> [D, T, batch]."""
        width, length, batch = tokens.shape
        values = self.to_values(tokens).view(self.heads, width // self.heads, length, batch)
        weights = self.weights.tril() if self.causal else self.weights
        mixed = torch.einsum("hij,hdjb->hdib", weights, values)
        return self.to_out(mixed.reshape(tokens.shape))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A mixing of tokens, then a two-layer network on each, both with a residual path.

    Post-LN normalises after each addition, as the original Transformer did; pre-LN normalises what enters each branch
    (Xiong et al. 2020, arXiv 2002.04745).
    """

    def __init__(self, mixing: nn.Module, width: int, norm: Placement) -> None:
        super().__init__()
        self.norm = norm
        self.mixing = mixing
        self.network = nn.Sequential(Linear(width, 2 * width), nn.ReLU(), Linear(2 * width, width))
        self.norms = nn.ModuleList([LayerNorm(width), LayerNorm(width)])

    def forward(self, tokens: Tensor) -> Tensor:
        """[D, T, batch] -> [D, T, batch]."""
        for branch, norm in zip((self.mixing, self.network), self.norms, strict=True):
            tokens = norm(tokens + branch(tokens)) if self.norm == "post" else tokens + branch(norm(tokens))
        return tokens


class Transformer(nn.Module):
    """A small Transformer: tokens [batch, T, inputs] -> logits [batch, outputs], by the mean token.

    With ``mixing="fixed"`` it is the same network without attention. A ``causal`` one answers at every token,
    [batch, T] whole numbers -> [batch, T, outputs], from that token and those before it. Pre-LN has one more
    normalisation before the head, as usual.
    """

    examples_axis = -1  # of what the layers within pass on

    def __init__(
        self,
        tokens: int,
        inputs: int,
        outputs: int,
        *,
        norm: Placement,
        mixing: Mixing = "attention",
        causal: bool = False,
        width: int = WIDTH,
        layers: int = 2,
        heads: int = 2,
    ) -> None:
        super().__init__()
        self.inputs, self.causal = inputs, causal
        self.embed = Linear(inputs, width)
        self.position = nn.Parameter(torch.randn(tokens, width) / math.sqrt(width))
        mixings = (
            Attention(width, heads, causal=causal)
            if mixing == "attention"
            else FixedMixing(width, heads, tokens, causal=causal)
            for _ in range(layers)
        )
        self.blocks = nn.Sequential(*(Block(mixed, width, norm) for mixed in mixings))
        self.norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = Linear(width, outputs)

    def forward(self, patches: Tensor) -> Tensor:
        """[batch, T, inputs] -> [batch, outputs]; causal: [batch, T] -> [batch, T, outputs]."""
        seen = self.norm(self.blocks(self._embedded(patches)))
        logits: Tensor = self.head(seen if self.causal else seen.mean(1))
        return logits.permute(2, 1, 0) if self.causal else logits.T

    def _embedded(self, patches: Tensor) -> Tensor:
        """[batch, T, ...] -> [D, T, batch]."""
        if self.causal:  # an embedding table, as a product: looking rows up has no fast gradient under vmap
            known = torch.arange(self.inputs, device=patches.device).view(-1, 1, 1)
            features = (known == patches.T).to(self.position)
        else:
            features = patches.permute(2, 1, 0)
        embedded: Tensor = self.embed(features) + self.position.T.unsqueeze(-1)
        return embedded
