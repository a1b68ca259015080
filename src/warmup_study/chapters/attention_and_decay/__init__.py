"""The notebook `5_attention_and_decay`."""

QUESTION = "Is warmup for attention? Does it go with decay? Does normalisation replace it?"
MAIN_FIGURE = "attention_gains"
