"""The notebook `6_mechanism`."""

QUESTION = "How does it work: curvature, hidden warmups, length, dead units"
MAIN_FIGURE = "disguises"
