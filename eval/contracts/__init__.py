"""The doors of the house: what a task, a backend and a plugin have to offer. Types and their loading, no behaviour.

From outside: `task`, `backend` and `gate` to write one, `plugins` to find one. The base class of gates has defaults.
"""
