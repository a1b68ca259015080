"""The notebook `3_momentum`."""

QUESTION = "Does momentum count as adaptive? What builds up while the rate is zero?"
MAIN_FIGURE = "velocity"
