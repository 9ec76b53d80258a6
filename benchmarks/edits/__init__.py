"""What an edit makes run again: headwater and other tools, really run on the same projects before and after it.

`python -m benchmarks.edits` measures everything; `--help` says how to measure less.
"""
