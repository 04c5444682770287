"""Analysis: degradation curves, differences, rankings, claims, from the results of a run."""
