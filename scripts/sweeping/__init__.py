"""Sweeps: Axolotl's sweep file as recipes (`members`), the checkpoints of a run as runs (`checkpoints`), who is best
(`ranking`), what the half for the verdict can show (`foreseen`), and the pages (`pages`).

From outside: through scripts/sweep.py.
"""
