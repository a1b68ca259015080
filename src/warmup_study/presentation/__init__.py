"""One look for figures, one way to write numbers."""
