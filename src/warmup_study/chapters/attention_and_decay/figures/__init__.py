"""Figures of the notebook."""
