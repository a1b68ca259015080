"""The notebook `10_new_optimisers`."""

QUESTION = "Do Lion, signSGD and Muon need warmup? Would ramping the momentum do instead?"
MAIN_FIGURE = "gains"
