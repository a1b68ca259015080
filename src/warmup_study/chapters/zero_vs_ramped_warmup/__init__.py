"""The notebook `2_zero_vs_ramped_warmup`."""

QUESTION = "Is warmup there to gather gradient statistics, and would a learning rate of zero do?"
MAIN_FIGURE = "shares"
