"""The notebook `2_zero_vs_ramped_warmup`."""

QUESTION = "Does warmup help by gathering gradient statistics? Would a learning rate of 0 do as well?"
MAIN_FIGURE = "shares"
