"""Hugging Face Jobs, through the pinned huggingface_hub: a container, billed by the second, that ends with its command.

The time limit is the Hub's own (`timeout`), always set: without one it is 30 minutes. The job's name is a label, and
the token goes in as a secret. Waiting for hardware is not billed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from huggingface_hub import HfApi, JobInfo, get_token
from huggingface_hub.errors import HfHubHTTPError

from eval.common.errors import UserError
from eval.common.hub_client import TooMuch
from scripts.remote.provider import PREFIX, Machine, NoMachine, Offer, Order, State, Unsure

LABEL = "securecli-job"
STATES: dict[str, State] = {"SCHEDULING": "starting", "RUNNING": "running", "UPDATING": "running"}
UNITS = {"second": 3600.0, "minute": 60.0, "hour": 1.0}  # how many an hour has
GONE = (404, 409, 410)  # of a job that is to be ended: it has ended


class HfJobs:
    """The provider `hf-jobs`, for the account of the token."""

    name = "hf-jobs"
    default_gpu = "a10g-large"
    default_image = "python:3.12-bookworm"
    queue_seconds = 1800
    ends_itself = "exit"

    def __init__(self, api: HfApi) -> None:
        self.api = api
        self._namespace: str | None = None

    @property
    def namespace(self) -> str:
        if self._namespace is None:
            with answers("the account"):
                self._namespace = str(self.api.whoami()["name"])
        return self._namespace

    def offer(self, gpu: str, count: int) -> Offer:
        with answers("the hardware"):
            known = {hardware.name: hardware for hardware in self.api.list_jobs_hardware()}
        if count != 1:
            raise NoMachine(
                f"hf-jobs: the number of GPUs is part of the hardware's name: give --gpu, of {names(known)}"
            )
        found = known.get(gpu)
        if found is None:
            raise NoMachine(f"hf-jobs has no hardware {gpu!r}: one of {names(known)}")
        if found.unit_label not in UNITS:
            raise NoMachine(f"hf-jobs: {gpu} is billed by the {found.unit_label!r}, which is not known here")
        cards = found.accelerator.quantity if found.accelerator else "no"
        model = f"{cards} {found.accelerator.model} ({found.accelerator.vram})" if found.accelerator else "no GPU"
        return Offer(gpu, 1, found.unit_cost_usd * UNITS[found.unit_label], f"{model}, {found.cpu}, {found.ram}")

    def start(self, order: Order) -> str:
        token = get_token()
        if not token:
            raise NoMachine("no Hugging Face token: set HF_TOKEN, or log in with `hf auth login`")
        with answers("a new job", starting=True):
            made = self.api.run_job(
                image=order.image,
                command=["bash", "-c", order.script],
                env=order.env,
                secrets=dict.fromkeys(order.secrets, token),
                flavor=order.gpu,
                timeout=order.seconds,
                labels={LABEL: order.name},
                namespace=self.namespace,
            )
        return made.id

    def machines(self) -> list[Machine]:
        with answers("the jobs"):
            return [machine for job in self.api.list_jobs(namespace=self.namespace) if (machine := machine_of(job))]

    def lines(self, machine: Machine, cursor: str) -> tuple[list[str], str]:
        with answers("the log"):
            everything = list(self.api.fetch_job_logs(job_id=machine.id, namespace=self.namespace))
        seen = int(cursor or 0)
        return [line.rstrip("\n") for line in everything[seen:]], str(max(seen, len(everything)))

    def stop(self, machine: Machine) -> None:
        with answers("ending the job", done=GONE):
            self.api.cancel_job(job_id=machine.id, namespace=self.namespace)


def machine_of(job: JobInfo) -> Machine | None:
    """A job that carries a name of ours; None for somebody else's."""
    name = (job.labels or {}).get(LABEL, "")
    if not name.startswith(PREFIX):
        return None
    state = STATES.get(str(getattr(job.status.stage, "value", job.status.stage)), "ended")
    return Machine(job.id, name, state, state != "ended", job.status.message or "")


def names(known: dict[str, Any]) -> str:
    return ", ".join(sorted(known)) or "none"


@contextmanager
def answers(what: str, starting: bool = False, done: tuple[int, ...] = ()) -> Iterator[None]:
    """What a failure of the client means. `done`: codes that mean it has happened already."""
    try:
        yield
    except (HfHubHTTPError, httpx.HTTPStatusError) as error:
        status = error.response.status_code
        if status in done:
            return
        if status == 402:
            raise NoMachine("hf-jobs: the account has no credit: add some, then run the same command again") from None
        if status in (401, 403):
            raise UserError(f"hf-jobs: the token may not do this ({status}, {what}): it needs access to Jobs") from None
        if starting and status in (400, 404, 422):
            raise NoMachine(f"hf-jobs refuses the job ({status}{said_by(error.response)})") from None
        raise Unsure(f"hf-jobs answers {status} ({what})") from None
    except httpx.HTTPError as error:
        raise Unsure(f"no connection to hf-jobs ({type(error).__name__}, {what})") from None
    except TooMuch as error:
        raise Unsure(f"hf-jobs: {what}: {error}") from None
    except (json.JSONDecodeError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise Unsure(f"the answer of hf-jobs has another form ({type(error).__name__}, {what})") from None


def said_by(response: httpx.Response) -> str:
    """What the Hub says about it, on one line."""
    try:
        said = str(response.json().get("error", ""))
    except (ValueError, AttributeError, httpx.StreamError):
        return ""
    shown = "".join(letter if letter.isprintable() else "?" for letter in " ".join(said.split()))[:200]
    return f": {shown}" if shown else ""
