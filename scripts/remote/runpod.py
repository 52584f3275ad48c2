"""RunPod pods, by its REST API v2: a container on a GPU, billed until it is deleted.

RunPod keeps no deadline (its fields for one were accepted and never acted upon): the pod deletes itself at the
deadline given in its environment (boot.sh), and whoever watches deletes it too. A container is started again when its
command ends, and a stopped pod bills its disk: only deleting ends it. The key is that of RUNPOD_API_KEY here; inside,
RunPod gives the pod one of its own. The Hub's token is the account's secret `HF_TOKEN`, which the pod gets by
reference.

Source of paths and fields: RunPod's OpenAPI document of API v2 (2026-08-20).
"""

import json
import os
import shlex
from typing import Any
from urllib.parse import quote

from eval.common.errors import UserError
from scripts.remote.provider import PREFIX, RUN_PACKED, Machine, NoMachine, Offer, Order, State, Unsure, packed_env
from scripts.remote.rest import Answered, Rest

URL = "https://api.runpod.io/v2"
STATES: dict[str, State] = {"PROVISIONING": "starting", "STARTING": "starting", "RUNNING": "running"}
DISK_GB = 80
LOG_SECONDS = 3.0
LOG_LINES = 1000  # of what was said before somebody looked


class RunPod:
    """The provider `runpod`, for the account of RUNPOD_API_KEY."""

    name = "runpod"
    default_gpu = "NVIDIA GeForce RTX 4090"
    default_image = "python:3.12-bookworm"
    queue_seconds = 0
    ends_itself = "runpod"

    def __init__(self, api: Rest) -> None:
        self.api = api

    def offer(self, gpu: str, count: int) -> Offer:
        found = self._ask("GET", f"/catalog/gpus?include=AVAILABILITY&product=POD&count={count}&cloud=SECURE")
        try:
            known = {str(row["id"]): row for row in found["gpus"]}
            row = next((row for row in known.values() if gpu.lower() in (row["id"].lower(), row["name"].lower())), None)
            if row is None:
                near = ", ".join(sorted(known)[:40])
                raise NoMachine(f"runpod has no GPU {gpu!r}: one of {near}")
            price, stock = float(row["price"]["secure"]) * count, row.get("availability", "NONE")
            says = f"{count} {row['name']} with {row['memory']} GB, stock {stock}"
        except (LookupError, TypeError, AttributeError, ValueError):
            raise Unsure("the catalogue of runpod has another form") from None
        if stock == "NONE" or price <= 0:
            raise NoMachine(f"runpod has no {row['name']} free now: try another --gpu, or the same command later")
        return Offer(str(row["id"]), count, price, says)

    def start(self, order: Order) -> str:
        env = packed_env(order) | {name: f"{{{{ RUNPOD_SECRET_{name} }}}}" for name in order.secrets}
        body = {
            "name": order.name,
            "image": order.image,
            "args": shlex.join(["bash", "-c", RUN_PACKED]),
            "disk": DISK_GB,
            "env": env,
            "ports": [],
            "gpu": {"id": order.gpu, "count": order.count},
            "cloud": "SECURE",
        }
        try:
            made = self.api.ask("POST", "/pods", body)
        except Answered as refused:
            raise self._refusal(refused, order.gpu) from None
        if not isinstance(made, dict) or not isinstance(made.get("id"), str):
            raise Unsure("the answer of runpod names no pod")
        return str(made["id"])

    def machines(self) -> list[Machine]:
        found = self._ask("GET", "/pods")
        try:
            pods = [pod for pod in found["pods"] if str(pod["name"]).startswith(PREFIX)]
            return [machine_of(pod) for pod in pods if pod["status"] != "TERMINATED"]
        except (LookupError, TypeError, AttributeError, ValueError):
            raise Unsure("the list of pods has another form") from None

    def lines(self, machine: Machine, cursor: str) -> tuple[list[str], str]:
        path = f"/pods/{quote(machine.id, safe='')}/logs?source=container" + ("" if cursor else f"&tail={LOG_LINES}")
        found = []
        for identity, data in self.api.events(path, cursor, LOG_SECONDS):
            try:
                found.append(str(json.loads(data)["line"]))
            except (ValueError, LookupError, TypeError):
                continue
            cursor = identity or cursor
        return found, cursor

    def stop(self, machine: Machine) -> None:
        try:
            self.api.ask("DELETE", f"/pods/{quote(machine.id, safe='')}")
        except Answered as refused:
            if refused.status != 404:
                raise Unsure(f"runpod does not delete {machine.id} ({refused.status}: {refused.said})") from None

    def _ask(self, method: str, path: str) -> Any:
        try:
            return self.api.ask(method, path)
        except Answered as refused:
            raise self._refusal(refused, "") from None

    def _refusal(self, refused: Answered, gpu: str) -> UserError:
        """A refusal as one line. 400 is a broken rule or no capacity: RunPod tells them apart in words alone."""
        if refused.status == 402:
            return NoMachine("runpod: the account has no credit: add some, then run the same command again")
        if refused.status in (401, 403):
            return UserError(f"runpod: RUNPOD_API_KEY is wrong, or may not do this ({refused.status}): use another key")
        if refused.status == 400:
            return NoMachine(f"runpod starts no {gpu} ({refused.said}): try another --gpu, or the same command later")
        return NoMachine(f"runpod refuses ({refused.status}: {refused.said})")


def machine_of(pod: dict[str, Any]) -> Machine:
    """A pod as it is listed. Whatever is listed bills something."""
    status = str(pod["status"])
    cost = float(pod.get("cost") or 0.0)
    return Machine(str(pod["id"]), str(pod["name"]), STATES.get(status, "ended"), True, status, cost or None)


def connect() -> RunPod:
    """The provider with the key of the environment."""
    key = os.environ.get("RUNPOD_API_KEY", "")
    if not key:
        raise UserError("no RunPod key: set RUNPOD_API_KEY (an API key of your account)")
    if not all("!" <= letter <= "~" for letter in key):
        raise UserError("RUNPOD_API_KEY holds what no key does: copy it once more")
    return RunPod(Rest(os.environ.get("RUNPOD_API_URL", URL), key, "runpod"))
