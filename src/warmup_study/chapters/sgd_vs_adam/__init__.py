"""The notebook `1_sgd_vs_adam`."""

QUESTION = "Does warmup help only adaptive optimisers? What does their first update do?"
MAIN_FIGURE = "four_setups"
