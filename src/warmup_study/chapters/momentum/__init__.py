"""The notebook `3_momentum`."""
