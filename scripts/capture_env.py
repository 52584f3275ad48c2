"""Print what this machine is: packages, Python, OS, kernel, CPU, GPU, driver, CUDA, container, git commit.

    python -m scripts.capture_env                  as JSON
    python -m scripts.capture_env --out FILE       into a file; the same as a run's environment.json

Training and evaluation write it into each run (eval/run/environment.py). It holds no value of an environment variable.
"""

import argparse
import json
from pathlib import Path

from eval.common.errors import UserError, run_command
from eval.run.environment import capture_environment


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.capture_env", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, help="write there instead of printing")
    out: Path | None = parser.parse_args(argv).out
    text = json.dumps(capture_environment(), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        print(text, end="")
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}") from None
    print(f"environment: {out}")
    return 0


if __name__ == "__main__":
    run_command(main)
