"""The notebook `your_network`."""

QUESTION = "Your own network: whether, when and how long"
MAIN_FIGURE = "answer"
