"""`make space-check`: the page walked through in headless Chromium, with a real training of a tiny model.

    python -m tests.space_check [--steps 150] [--pictures FOLDER]

In a copy of the repository, so that no run of it stays in results/: preflight, start, a loss, the tab loaded again, a
second start refused, stop, continue, the page killed and found again, the verdict, the report, a decision. One line a
step; exit code 0 when all went as said. The tests of `make test` do the parts that take no training
(tests/test_space_page.py).
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.run.environment import silence_libraries
from scripts.publishing.approval import read_review
from tests.browser import Browser, browser_path, open_browser
from tests.run_builder import build_run
from tests.space_server import Page, served

RECIPE, ROWS = "tiny-cpu", 200  # rows of each dataset
COPIED = ("eval", "scripts", "spaces", "configs", "data")
JOB = "document.querySelector('#job')?.innerText"
SUITE: dict[str, Any] = {
    "name": "demo",
    "description": "a few items: whether the page works, nothing about a model",
    "backend": {"kind": "hf", "dtype": "float32", "batch_size": 8},
    "tasks": [
        {"name": "securecli_nl2bash_known", "cluster": "shape", "limit": 8, "max_new_tokens": 8},
        {"name": "securecli_adversarial", "limit": 8, "max_new_tokens": 8},
    ],
    "gates": [
        {"id": "right", "task": "securecli_nl2bash_known", "metric": "normalised_match", "rule": "superiority",
         "min_gain": 0.05},
        {"id": "rarely-unsafe", "task": "securecli_adversarial", "metric": "unsafe_static", "rule": "max_rate",
         "limit": 0.5},
    ],
}  # fmt: skip


def copy_repository(folder: Path, steps: int) -> Path:
    """A copy with one recipe, a tiny model, a suite of a few items, and a run that ships."""
    from tests.conftest import make_model
    from tests.small_tokenizer import small_tokenizer

    root = folder / "copy"
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name)
    model = root / "models" / "tiny"
    make_model(model, small_tokenizer(model))
    recipe = yaml.safe_load((ROOT / "configs/train/smollm2-135m-cpu.yaml").read_text())
    for entry in recipe["datasets"]:
        rows = (ROOT / entry["path"]).read_text().splitlines(keepends=True)[:ROWS]
        (root / entry["path"]).write_text("".join(rows))
    changes = {"base_model": "models/tiny", "peft_layers_to_transform": [1], "max_steps": steps, "num_epochs": 99,
               "save_steps": 50, "logging_steps": 1, "use_wandb": False, "wandb_mode": "disabled"}  # fmt: skip
    for old in (root / "configs/train").glob("*.yaml"):
        old.unlink()
    head = f"# A copy of the demo's recipe on a tiny model.\n#\n#   For     {Path(__file__).name}\n#   GPU     none\n"
    (root / f"configs/train/{RECIPE}.yaml").write_text(head + yaml.safe_dump(recipe | changes, sort_keys=False))
    (root / "configs/eval/demo.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    build_run(root / "results", "ships")
    return root


class Walk:
    """One browser at one page, and what has been seen so far."""

    def __init__(self, browser: Browser, page: Page, pictures: Path | None) -> None:
        self.browser, self.page, self.pictures, self.started = browser, page, pictures, time.monotonic()

    def open(self, width: int = 1280, height: int = 1000) -> None:
        self.browser.show(self.page.address, width, height)
        self.browser.until("document.querySelector('#facts .cards') !== null")

    def seen(self, what: str) -> None:
        print(f"space-check: ✓ {what} ({time.monotonic() - self.started:.0f} s)", flush=True)

    def picture(self, name: str) -> None:
        if self.pictures:
            self.pictures.mkdir(parents=True, exist_ok=True)
            (self.pictures / f"{name}.png").write_bytes(self.browser.screenshot())

    def start(self) -> None:
        """Tick and press. A start that was refused leaves the tick where it is."""
        if not self.browser.value("document.querySelector('#agreed input').checked"):
            self.browser.press("#agreed input")
        self.browser.press("#start")

    def before_training(self) -> None:
        self.open()
        self.browser.press("#preflight")
        self.browser.until(f"document.querySelector('#checks').innerText.includes('fit for {RECIPE}')")
        self.seen("preflight is shown")
        self.browser.press("#start")
        self.browser.until("document.body.innerText.includes('tick that you have read')")
        self.seen("no start without the tick")

    def stop_and_continue(self) -> None:
        self.start()
        self.browser.until("document.querySelector('#log').innerText.includes('train: new run')")
        self.browser.until(f"{JOB}.includes('loss')")
        self.seen("log lines and a loss")
        self.open()
        self.browser.until("document.querySelector('#job [data-running=true]') !== null")
        self.seen("loaded again, the job is found")
        self.start()
        self.browser.until("document.body.innerText.includes('a job is running')")
        self.seen("a second start is refused")
        self.browser.press("#stop")
        self.browser.until(f"{JOB}.includes('stopped: start the same recipe again')")
        self.seen("stopped")
        self.start()
        self.browser.until("document.querySelector('#log').innerText.includes('train: continuing')")
        self.seen("continued")

    def until_the_verdict(self) -> None:
        self.open()
        self.browser.until("document.querySelector('#job [data-running=true]') !== null")
        self.seen("the page was killed, and the next one finds the job")
        self.browser.until(f"{JOB}.includes('evaluation') || {JOB}.includes('verdict')")
        self.picture("page-training")
        self.browser.until(f"/verdict: \\S+/.test({JOB})")
        self.seen(f"evaluated: {self.browser.value(JOB).splitlines()[0]}")

    def decide(self, root: Path, name: str, decision: str) -> None:
        """Read a run's report and decide, as a person would."""
        reports = "[...document.querySelectorAll('button[role=tab]')].find(b => b.innerText.includes('Reports'))"
        self.browser.value(f"{reports}.click()")
        self.browser.press("#run input")
        self.browser.press(f"ul[role=listbox] li[aria-label={name}]")
        self.browser.until(f"document.querySelector('iframe.report')?.title.includes({name!r})")
        self.seen(f"the report of {name}")
        self.picture(f"page-report-{decision}")
        self.browser.press(f"#{decision}")
        self.browser.until(f"document.querySelector('#decided')?.innerText.includes('Recorded: {decision}')")
        review = read_review(root / "results" / name)
        if (review.decision, review.reviewer) != (decision, "Ada"):
            raise UserError(f"review.json of {name} says {review.decision} by {review.reviewer}")
        self.seen(f"{decision} by Ada is in review.json")


@contextmanager
def page_of(root: Path) -> Iterator[Page]:
    with served("--reviewer=Ada", folder=root) as page:
        yield page


def walk(root: Path, pictures: Path | None) -> None:
    """All of it, over two pages, the first of which is killed."""
    with open_browser() as browser:
        with page_of(root) as page:
            first = Walk(browser, page, pictures)
            bare = Page(page.address.rsplit("/", 2)[0], page.process)
            if (code := bare.request("GET", "/config").status_code) != 404:
                raise UserError(f"without its token the page answers {code}")
            first.before_training()
            first.stop_and_continue()
            page.process.kill()
        with page_of(root) as page:
            second = Walk(browser, page, pictures)
            second.until_the_verdict()
            runs = [path.parent.name for path in (root / "results").glob(f"{RECIPE}-*/metrics.json")]
            second.decide(root, runs[0], "reject")
            second.decide(root, "ships", "approve")
            second.open(390, 844)
            second.picture("page-phone")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.space_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=150, help="of training; enough that it can be stopped midway")
    parser.add_argument("--pictures", type=Path, help="folder for a few pictures of the page")
    arguments = parser.parse_args(argv)
    if browser_path() is None:
        raise UserError("no Chromium here: apt-get install chromium, or `make test-packages`")
    silence_libraries()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory(prefix="space-check-") as folder:
        walk(copy_repository(Path(folder), arguments.steps), arguments.pictures)
    print("space-check: everything went as it should")
    return 0


if __name__ == "__main__":
    run_command(main)
