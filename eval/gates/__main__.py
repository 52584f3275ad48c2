"""`python -m eval.gates`: decide a run again, or decide over two logs of somebody else's; no model, no GPU."""

from eval.common.errors import run_command
from eval.logs.verb import main

if __name__ == "__main__":
    run_command(main, "gate")
