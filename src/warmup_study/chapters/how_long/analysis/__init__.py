"""What the eighth chapter's claims rest on, as functions of its table of runs alone."""

from warmup_study.chapters.how_long.analysis.comparisons import large_batch, skew
from warmup_study.chapters.how_long.analysis.lengths import how_long, untuned

CLAIMS = {"how-long": how_long, "untuned": untuned, "large-batch": large_batch, "skew-length": skew}
