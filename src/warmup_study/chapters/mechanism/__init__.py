"""The notebook `6_mechanism`."""

QUESTION = "Why does warmup work: curvature, hidden warmups or dead units?"
MAIN_FIGURE = "disguises"
