"""Scores that come from running answers: judged against a gold, watched among canaries, compared for damage.

From outside: `execute.execute_answers`; the parts are `judging`, `watching` and `collateral`.
"""
