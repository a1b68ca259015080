"""The notebook `2_zero_vs_ramped_warmup`."""
