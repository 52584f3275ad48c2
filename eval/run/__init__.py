"""The files of one run: their types, digests, and how they are found, read, written and resumed.

From outside: `files` and `folder` to read and write, `records` and `metrics` for the types.
"""
