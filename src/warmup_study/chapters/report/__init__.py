"""The notebook `report`."""

QUESTION = "The verdicts"
MAIN_FIGURE = "pooled"
