"""The 300 rows of InterCode-ALFA as a task.

From outside: `rows`.
"""
