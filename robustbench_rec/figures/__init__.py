"""Figures: draw the results of a run."""
