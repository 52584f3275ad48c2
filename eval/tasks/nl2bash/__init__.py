"""Natural language to one Bash command: what lm-eval calls to score an answer, and a file tree for every sample.

From outside: `hooks` by the task files, `fixture` by whoever runs answers.
"""
