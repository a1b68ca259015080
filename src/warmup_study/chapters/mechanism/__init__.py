"""The notebook `6_mechanism`."""
