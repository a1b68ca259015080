"""The notebook `5_attention_and_decay`."""
