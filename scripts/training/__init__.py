"""Training: recipes checked, the machine checked, Axolotl started, watched and continued.

From outside: `train`, `lint_recipe` and `preflight` are the verbs.
"""
