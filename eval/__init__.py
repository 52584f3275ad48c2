"""The regression suite: generate, score, compare, gate, report. Start reading at `eval/suite.py`."""
