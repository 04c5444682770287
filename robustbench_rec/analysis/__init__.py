"""From the frame of a run to degradation curves, differences and comparisons."""
