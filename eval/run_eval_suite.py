"""Launcher: `python eval/run_eval_suite.py` works from any folder. The story is in eval/suite.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Started as a file, sys.path[0] is eval/: replaced, so that no file of ours can shadow a library.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from eval.common.errors import guard_imports, run_command

    guard_imports()
    from eval.suite import main

    kinds = (kind for kind in ("self-check", "generate", "judge") if f"--{kind}" in sys.argv)
    run_command(main, next(kinds, "eval"))
