"""The notebook `3_momentum`."""

QUESTION = "Does momentum count as adaptive? What does it accumulate at learning rate 0?"
MAIN_FIGURE = "velocity"
