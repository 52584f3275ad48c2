"""The datasets of data/, built byte for byte from grammars and hand-written rows.

From outside: `build_data`, `build_safety` and `build_retention` are the verbs.
"""
