"""Launcher for a Space, which starts this file by its path (`app_file` of README.md). See spaces/trainer/serve.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Started as a file, sys.path[0] is this folder: replaced, so that no file here can shadow a library.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from eval.common.errors import guard_imports, run_command

    guard_imports()
    from spaces.trainer.serve import main

    run_command(main)
