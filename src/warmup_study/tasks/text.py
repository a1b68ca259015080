"""Tiny Shakespeare: the next character of real text, from a file that is fetched once (Karpathy's char-rnn)."""

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pooch
import torch
from torch import Tensor

from warmup_study.errors import StudyError
from warmup_study.paths import project_root
from warmup_study.tasks.networks import Mixing, Placement, Transformer
from warmup_study.tasks.task import Split, Splits, Task, token_names, token_regime

FILE = "tinyshakespeare.txt"
ADDRESS = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
FOLDER = "WARMUP_STUDY_DATA"
PATIENCE = 10  # seconds for the address to answer
CHARACTERS = 65
WINDOW = 16
_COUNTS = (16_384, 512, 4096)  # windows to learn from, to pick on and to report on
PAIRS = 0.6  # of the initial loss: what a table of pairs of characters gives, 2.5 of 4.2 nats
_ENDS = (0, 0.8, 0.85, 1)  # shares of the text where their parts end: so far apart that no two windows overlap


def path() -> Path:
    """The file, fetched now where it is missing.

    It is looked for in the folder that WARMUP_STUDY_DATA names, else among the project's cached data. Raises
    ``StudyError``, in one line, where it cannot be had or is another file; one fetched with another hash is not kept.
    """
    named = os.environ.get(FOLDER)
    folder = Path(named).expanduser() if named else project_root() / "data" / "cache"
    place = folder / FILE
    if place.exists():
        if _digest(place) != SHA256:
            raise StudyError(f"text: {place} is not Tiny Shakespeare (its SHA-256 differs from {SHA256}); remove it")
        return place
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(ADDRESS, SHA256, FILE, folder, downloader=pooch.HTTPDownloader(timeout=PATIENCE))
    except (OSError, ValueError, RuntimeError) as problem:  # no network, another hash, a folder that is none
        raise StudyError(
            f"text: {FILE} cannot be had from {ADDRESS} ({type(problem).__name__}); put a copy into a folder and name "
            f"the folder in {FOLDER}"
        ) from problem
    return place


@lru_cache(maxsize=1)
def missing() -> str:
    """Why the text cannot be had, in one line; empty where it can. Asked once per process: an address may be slow."""
    try:
        path()
    except StudyError as problem:
        return str(problem)
    return ""


def splits() -> Splits:
    """Train (16,384), validation (512) and test (4,096) windows: characters [N, 16], and those that follow each.

    The first four fifths of the plays are for training, the next twentieth to pick on, the rest to report on; windows
    lie evenly spread in each, and none overlaps another.
    """
    text = path().read_text(encoding="utf-8")
    alphabet = {character: code for code, character in enumerate(sorted(set(text)))}
    codes = torch.tensor([alphabet[character] for character in text])
    ends = [round(len(codes) * share) for share in _ENDS]
    return Splits(*(_windows(codes[start:end], n) for (start, end), n in zip(pairwise(ends), _COUNTS, strict=True)))


def language_model(norm: Placement, mixing: Mixing = "attention", blocks: int = 2) -> Callable[[], Task]:
    """Makers of causal Transformer blocks of width 16 on windows of 16 characters.

    With fixed mixing, the same network without attention: of two blocks, 6,801 weights for 6,865.
    """
    name, title = token_names("text", norm, mixing, blocks)
    return lambda: Task(
        name,
        f"Tiny Shakespeare by characters, causal {title}",
        lambda: Transformer(WINDOW, CHARACTERS, CHARACTERS, norm=norm, mixing=mixing, causal=True, layers=blocks),
        splits(),
        sgd_lrs=(1e-2, 1e1),
        adaptive_lrs=(1e-4, 1e0),
        batch=32,
        stack=32,
        compile_from_updates=40_000,
        regime=token_regime(mixing),
        trained_share=PAIRS,
        evaluation_batch=128,
    )


def _windows(codes: Tensor, count: int) -> Split:
    starts = torch.as_tensor(np.linspace(0, len(codes) - WINDOW - 1, count).astype(np.int64))
    windows = codes[starts[:, None] + torch.arange(WINDOW + 1)]
    return Split(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
