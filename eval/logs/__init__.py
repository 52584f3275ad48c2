"""Verdicts over evaluations that somebody else ran: two logs, paired item by item, under an ordinary suite.

A log is read by content (`opening`, one module a format), paired (`pairing`), and decided by eval/gates like any
evaluation of ours. Logs prove no bytes: their verdicts are shown and never published.

From outside: `verb`; `python -m eval.gates --a BASELINE --b CANDIDATE --suite FILE`.
"""
