"""The notebook `7_anchor_warmup`."""

QUESTION = "What does anchor warmup, the other meaning of the word, do in object detectors?"
MAIN_FIGURE = "effects"
