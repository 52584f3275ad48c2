"""The doors of the house: what a task, a backend and a plugin have to offer. Types and their loading, no behaviour.

From outside: `task` and `backend` to write one, `plugins` to find one; gate kinds are in `eval/config/gate_rules.py`.
"""
