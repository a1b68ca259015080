"""Figures: one function each, one style, files that carry their own words."""
