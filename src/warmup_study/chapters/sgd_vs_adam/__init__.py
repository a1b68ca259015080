"""The notebook `1_sgd_vs_adam`."""
