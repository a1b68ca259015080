"""The notebook `8_how_long`."""

QUESTION = "How long must a ramp be: in updates, in epochs, as a share of the run? Does the batch matter?"
MAIN_FIGURE = "lengths"
