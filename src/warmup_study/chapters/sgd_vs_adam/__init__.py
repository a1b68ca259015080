"""The notebook `1_sgd_vs_adam`."""

QUESTION = "Does warmup help adaptive optimisers only? What does their first update do?"
MAIN_FIGURE = "four_setups"
