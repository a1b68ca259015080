"""The notebook `5_attention_and_decay`."""

QUESTION = "Does attention need warmup? Does normalisation replace it? Does warmup help before a decay?"
MAIN_FIGURE = "attention_gains"
