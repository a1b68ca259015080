"""The notebook `8_how_long`."""

QUESTION = "How long must a ramp be, and what does its length scale with? Does the batch size matter?"
MAIN_FIGURE = "lengths"
