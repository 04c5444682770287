"""Tables: results of a run for a paper, in LaTeX, Markdown, HTML or CSV."""
