"""The notebook `4_early_examples`."""
