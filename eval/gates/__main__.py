"""`python -m eval.gates --run RUN`: decide again from saved scores; no model, no GPU."""

from eval.common.errors import run_command
from eval.gates.decide import main

if __name__ == "__main__":
    run_command(main)
