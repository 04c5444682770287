"""Tables: what a paper takes from a run, in LaTeX, Markdown, HTML or CSV."""
