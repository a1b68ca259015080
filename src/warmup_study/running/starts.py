"""Starting points in the cache: which are missing before chunks can be trained, and what a chunk takes along."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from warmup_study.running.store import Cache, Work
from warmup_study.training.experiment import Arm, Chunk
from warmup_study.training.pretraining import PretrainingBlock, blocks_of


def missing_blocks(chunks: Iterable[Chunk], cache: Cache) -> list[PretrainingBlock]:
    """The blocks of starting points that these chunks need and the cache lacks, each once."""
    needed = dict.fromkeys(block for chunk in chunks for block in blocks_of(chunk))
    return [block for block in needed if cache.get(block) is None]


def as_chunk(block: PretrainingBlock) -> Chunk:
    """Runs that cost what the block costs."""
    before = block.before
    return Chunk(
        part="start",
        task=before.task,
        arms=(Arm(label="start", optimizer=before.optimizer, schedule=before.schedule),),
        lr=before.lr,
        seeds=block.seeds,
        updates=before.updates,
        evaluate_every=before.updates,
        batch=before.batch,
        device=block.device,
        compiled=block.compiled,
    )


def in_waves(work: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """Starting points, and what may need them: one after the other, each in the order given."""
    blocks: list[Work] = [piece for piece in work if isinstance(piece, PretrainingBlock)]
    return blocks, [piece for piece in work if isinstance(piece, Chunk)]


def stored_for(work: Work, cache: Cache) -> dict[str, pa.Table]:
    """The starting points of a chunk's own runs, as tables by the id of their block, as far as they are stored."""
    tables = {}
    for block, seeds in blocks_of(work).items() if isinstance(work, Chunk) else ():
        table = cache.get(block)
        if table is not None:
            tables[block.id] = table.filter(pc.is_in(table["seed"], pa.array(sorted(seeds), pa.int64())))
    return tables
