"""What the model knew before: questions of general knowledge, and the neutral prompts that drift is measured on.

From outside: `domain`; `neutral` for the prompts.
"""
