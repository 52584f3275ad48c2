"""Our tasks, one folder a domain: lm-eval's task files, the checks they call, and what is needed to run answers.

From outside: `own_tasks` for the rows and metrics of each task without lm-eval; the rest is reached through it.
"""
