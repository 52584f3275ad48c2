"""The regression suite: generate, score, compare, gate, report. Start reading at `eval/suite.py`."""

import sys

# `python -m eval.X` imports this first. A worker's stderr is its parent's log, where a traceback belongs.
if sys.argv[:1] == ["-m"] and not any(word.endswith("worker") for word in sys.orig_argv[:4]):
    from eval.common.errors import guard_imports

    guard_imports()
