"""Scores -> pairs -> outcomes -> verdict, and what is checked about an evaluation itself.

From outside: `decide.decide`; `python -m eval.gates --run RUN` decides a run again without a model.
"""
