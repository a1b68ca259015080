"""Starting points as they are made and kept: blocks of seeds that are trained once for all that begin there."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from warmup_study import tasks
from warmup_study.training.code_hash import training_code
from warmup_study.training.ensemble import pretrain
from warmup_study.training.experiment import Chunk, Seed, content_id
from warmup_study.training.stackable import refusal
from warmup_study.training.starting_points import Points, StartingPoint
from warmup_study.training.starts import Frozen, Pretraining

REPAID = 4  # blocks over which compiling is repaid, as experiments take tens of seeds
BLOCK = 10  # seeds trained together whoever asks for one of them, so that none depends on who asked first

STARTING_POINTS = pa.schema(
    [
        pa.field("seed", pa.int64()),
        *[pa.field(name, pa.string()) for name in ("kind", "name", "dtype")],
        pa.field("shape", pa.list_(pa.int64())),
        pa.field("values", pa.binary()),
    ]
)
"""Columns of a table of starting points: one row per seed and tensor, its bytes little-endian in row-major order.

``kind`` is ``tensor`` for parameters and buffers, else the kind of the optimiser's state.
"""
_TENSOR = "tensor"


class PretrainingBlock(Frozen):
    """The unit of pre-training and of its storage: networks of a block of seeds, trained as one ensemble.

    Its id is a digest of all that decides its result: its own canonical JSON and the code that trains.
    """

    before: Pretraining
    seeds: tuple[Seed, ...]
    device: str
    compiled: bool

    @classmethod
    def of(cls, before: Pretraining, seed: int, device: str) -> Self:
        """The block that the seed belongs to; that of a network which cannot be stacked holds its seed alone."""
        task, stacked = tasks.load(before.task), refusal(before.task) is None
        first = seed - seed % BLOCK if stacked else seed
        seeds = tuple(range(first, min(first + BLOCK, 2**31))) if stacked else (seed,)
        compiled = stacked and REPAID * len(seeds) * before.updates >= task.compile_from_updates
        return cls(before=before, seeds=seeds, device=device, compiled=compiled)

    @cached_property
    def id(self) -> str:
        """Twenty hexadecimal digits."""
        return content_id({"code": training_code(self.task), "pretraining": self.model_dump(mode="json")})

    @property
    def task(self) -> str:
        """The task that is learnt."""
        return self.before.task

    @property
    def cost(self) -> int:
        """Updates of all runs together."""
        return len(self.seeds) * self.before.updates


def blocks_of(chunk: Chunk) -> dict[PretrainingBlock, set[int]]:
    """The blocks that a chunk's runs begin in, and the seeds of each that they take."""
    blocks: dict[PretrainingBlock, set[int]] = {}
    for run in chunk.runs:
        if run.arm.start is not None:
            block = PretrainingBlock.of(run.arm.start.before, run.init_seed, chunk.device)
            blocks.setdefault(block, set()).add(run.init_seed)
    return blocks


def points_for(chunk: Chunk, stored: Mapping[str, pa.Table]) -> Points:
    """The starting points of a chunk's runs, from the tables stored under the ids of their blocks, or trained now."""
    points: dict[tuple[Pretraining, int], StartingPoint] = {}
    for block in blocks_of(chunk):
        table = stored.get(block.id)
        for seed, point in read_points(pretrained(block) if table is None else table):
            points[block.before, seed] = point
    return points


def pretrained(block: PretrainingBlock) -> pa.Table:
    """Train the block; a table of its starting points."""
    points = pretrain(block.before, block.seeds, device=block.device, compiled=block.compiled)
    rows = [row for seed in block.seeds for row in _rows(seed, points[block.before, seed])]
    return pa.Table.from_pylist(rows, schema=STARTING_POINTS)


def _rows(seed: int, point: StartingPoint) -> Iterator[dict[str, object]]:
    for kind, stacks in {_TENSOR: point.tensors, **point.state}.items():
        for name, value in stacks.items():
            yield {"seed": seed, "kind": kind, "name": name, **_packed(value)}


def _packed(value: Tensor) -> dict[str, object]:
    plain = value.contiguous().reshape(-1).view(torch.uint8)
    dtype = str(value.dtype).removeprefix("torch.")
    return {"dtype": dtype, "shape": list(value.shape), "values": plain.numpy().tobytes()}


def read_points(table: pa.Table) -> Iterator[tuple[int, StartingPoint]]:
    """Seeds and starting points of a table."""
    found: dict[int, StartingPoint] = {}
    for row in table.to_pylist():
        point = found.setdefault(row["seed"], StartingPoint({}, {}))
        stacks = point.tensors if row["kind"] == _TENSOR else point.state.setdefault(row["kind"], {})
        stacks[row["name"]] = _unpacked(row["dtype"], row["shape"], row["values"])
    yield from found.items()


def _unpacked(dtype: str, shape: list[int], values: bytes) -> Tensor:
    plain = torch.from_numpy(np.frombuffer(values, np.uint8).copy())
    return plain.view(getattr(torch, dtype)).reshape(shape)
