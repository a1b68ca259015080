"""The notebook `your_network`."""

QUESTION = "Your own network: whether, when and how long to warm up"
MAIN_FIGURE = "answer"
