"""Does a provider's own parser take the file that a job would get? For an environment that has the provider.

python -m scripts.remote.command_line /tmp/files      examples, written by this repository's Python
python configs/remote/check.py /tmp/files             checks those whose provider is installed
"""

import importlib.metadata
import os
import runpy
import sys
from pathlib import Path


def check_dstack(file: Path) -> str:
    import yaml
    from dstack._internal.core.models.configurations import parse_apply_configuration

    task = parse_apply_configuration(yaml.safe_load(file.read_text()))
    return f"max_duration {task.max_duration} s, max_price {task.max_price}, gpu {task.resources.gpu}"


def check_skypilot(file: Path) -> str:
    import sky
    import yaml

    config = yaml.safe_load(file.read_text())
    (wanted,) = sky.Task.from_yaml_config(config, secrets_overrides=[("HF_TOKEN", "-")]).resources
    return f"autostop {wanted.autostop_config}, max_hourly_cost {wanted.max_hourly_cost}, {wanted.accelerators}"


def check_modal(file: Path) -> str:
    os.environ["SECURECLI_FILE"] = str(file)
    found = runpy.run_path(str(Path(__file__).with_name("modal_app.py")))
    return f"app {found['app'].name}, functions {', '.join(found['app'].registered_functions)}"


CHECKS = {"dstack": check_dstack, "skypilot": check_skypilot, "modal": check_modal}


def main() -> int:
    done = 0
    for name, check in CHECKS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        print(f"{name} {version}: {check(Path(sys.argv[1]) / f'{name}.yaml')}")
        done += 1
    return 0 if done else 2


if __name__ == "__main__":
    sys.exit(main())
