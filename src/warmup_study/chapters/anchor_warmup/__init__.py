"""The notebook `7_anchor_warmup`."""

QUESTION = "The other meaning of the word, in object detectors"
MAIN_FIGURE = "effects"
