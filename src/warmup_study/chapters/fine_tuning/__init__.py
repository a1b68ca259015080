"""The notebook `9_fine_tuning`."""

QUESTION = "Does a trained network need warmup for new data, or when its run is resumed?"
MAIN_FIGURE = "new_data"
