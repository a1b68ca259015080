"""The notebook `10_new_optimisers`."""

QUESTION = "Do Lion, signSGD and Muon need warmup, and would a ramp of the momentum do instead?"
MAIN_FIGURE = "gains"
