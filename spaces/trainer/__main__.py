"""`make space`: see spaces/trainer/serve.py."""

from eval.common.errors import run_command
from spaces.trainer.serve import main

if __name__ == "__main__":
    run_command(main)
