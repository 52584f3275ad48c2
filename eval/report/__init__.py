"""The report of a run: report.md, report.html and figures, rendered from its saved files alone (rendering.py)."""
