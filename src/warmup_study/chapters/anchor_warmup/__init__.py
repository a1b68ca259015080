"""The notebook `7_anchor_warmup`."""
