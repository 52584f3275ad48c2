"""What a machine is told when it is started."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from eval.common.reading import read_text
from scripts.remote.job import Job
from scripts.remote.machine import Orders
from scripts.remote.provider import Order, Provider

BOOT = Path(__file__).with_name("boot.sh")
PASSED_ON = ("HF_ENDPOINT", "RUNPOD_API_URL")  # addresses, where they are not the usual ones


def order_of(job: Job, provider: Provider, seconds: int) -> Order:
    """The job's newest attempt as an order. The Hub's token is a secret; nothing else of this computer goes along."""
    attempt = job.attempt
    orders = Orders(job.name, job.repo, attempt.number, job.recipe, job.evaluate, attempt.deadline)
    env = {
        "SECURECLI_ORDER": json.dumps(asdict(orders)),
        "SECURECLI_REPO": job.repo,
        "SECURECLI_COMMIT": job.commit,
        "SECURECLI_SECONDS": str(seconds),
        "SECURECLI_DEADLINE": str(int(attempt.deadline)),
        "SECURECLI_END": provider.ends_itself,
        "JUPYTER_DISABLE": "1",  # Axolotl's image starts one that is open to everybody
        "PYTHONUNBUFFERED": "1",
        **{name: os.environ[name] for name in PASSED_ON if os.environ.get(name)},
    }
    return Order(job.name, job.image, read_text(BOOT), env, ("HF_TOKEN",), job.gpu, job.count, seconds)
