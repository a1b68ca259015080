"""The study's networks as most users of torch would write them: torch's own layers, the batch first.

Parameters bear the names that they bear in the study's networks, whose weights can so be loaded.
"""

import math

import torch
from torch import Tensor, nn

HEADS, WIDTH = 2, 16  # of the study's Transformers


def convolutional(inputs: int, outputs: int) -> nn.Sequential:
    """Two strided convolutions and a linear layer on a signal: [B, inputs] -> logits [B, outputs]."""
    narrow, wide = 8, 16
    return nn.Sequential(
        nn.Unflatten(1, (1, inputs)),
        nn.Conv1d(1, narrow, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(narrow, wide, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(wide * -(-inputs // 4), outputs),
    )


class Attention(nn.Module):
    """Multi-head self-attention, written out: on tokens this few it outruns torch's fused one in a training loop."""

    def __init__(self) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.to_out = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        batch, length, width = tokens.shape
        heads = self.to_qkv(tokens).view(batch, length, 3, HEADS, width // HEADS)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-1, -2) / math.sqrt(width // HEADS)).softmax(-1)
        mixed: Tensor = self.to_out((weights @ values).transpose(1, 2).reshape(tokens.shape))
        return mixed


class Block(nn.Module):
    """Attention, then a two-layer network, each added to what it was given and normalised after that."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = Attention()
        self.network = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        tokens = self.norms[0](tokens + self.mixing(tokens))
        normed: Tensor = self.norms[1](tokens + self.network(tokens))
        return normed


class Transformer(nn.Module):
    """A post-LN Transformer: tokens [B, T, inputs] -> logits [B, outputs], by the mean token."""

    def __init__(self, tokens: int, inputs: int, outputs: int, *, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, WIDTH)
        self.position = nn.Parameter(torch.zeros(tokens, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(blocks)))
        self.head = nn.Linear(WIDTH, outputs)

    def forward(self, patches: Tensor) -> Tensor:
        """[B, T, inputs] -> [B, outputs]."""
        logits: Tensor = self.head(self.blocks(self.embed(patches) + self.position).mean(1))
        return logits
