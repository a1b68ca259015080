"""The notebook `4_early_examples`."""

QUESTION = "Do early examples matter more, and does warmup weaken their influence?"
MAIN_FIGURE = "unlearning"
