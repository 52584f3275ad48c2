"""The gate kinds of this repository, one file each, as eval/contracts/gate.py asks.

From outside: nothing; `eval.config.gate_rules` has their table, and `kind_of(rule)` finds them.
"""
