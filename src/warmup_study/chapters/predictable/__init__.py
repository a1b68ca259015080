"""The notebook `11_predictable`."""

QUESTION = "Can the need for warmup be predicted before training, from a few forward passes or a short probe?"
MAIN_FIGURE = "auc"
