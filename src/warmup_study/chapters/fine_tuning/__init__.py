"""The notebook `9_fine_tuning`."""

QUESTION = "Does a trained network need warmup when it meets new data, or when it is resumed?"
MAIN_FIGURE = "new_data"
