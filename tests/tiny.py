"""The smallest world that trains: what the suites of many tests have in common."""

WORLD = """\
[[dataset]]
name = "synthetic"
n_users = 60
n_items = 50
positives = 20
[[backbone]]
name = "mf"
dim = 4
[[loss]]
name = "bpr"
"""
