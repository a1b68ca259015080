"""The parameters of every notebook: read from its namespace and checked before any training.

Values may arrive as text (papermill reads ``1e-3`` in a YAML file as text); text that spells a number is taken as
that number. Whatever is wrong ends in one :class:`StudyError` line: the parameter's name, what it got, what it takes.
"""

from warmup_study.parameters.checks import MODELS, checked, validate
from warmup_study.parameters.models import (
    AnchorWarmup,
    AttentionAndDecay,
    EarlyExamples,
    GridParameters,
    Lab,
    Mechanism,
    Momentum,
    Parameters,
    Setup,
    SgdVsAdam,
    ZeroVsRamped,
)

__all__ = [
    "MODELS",
    "AnchorWarmup",
    "AttentionAndDecay",
    "EarlyExamples",
    "GridParameters",
    "Lab",
    "Mechanism",
    "Momentum",
    "Parameters",
    "Setup",
    "SgdVsAdam",
    "ZeroVsRamped",
    "checked",
    "validate",
]
