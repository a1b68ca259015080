"""The notebook `4_early_examples`."""

QUESTION = "Do early examples matter more, and does a slow start curb that?"
MAIN_FIGURE = "unlearning"
