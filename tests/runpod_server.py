"""RunPod's REST API v2 on this machine, as far as scripts/remote/runpod.py uses it, with the loopback Hub's faults.

    with serve_pods(folder) as account:        account.pods: what is rented; account.tick(seconds): time passes

Source of paths, fields and codes: RunPod's OpenAPI document of API v2 (2026-08-20). A pod lives until it is deleted: no
deadline is known here, whatever is sent. Nothing runs: whoever plays the machines does so in `on_tick`.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from scripts.loopback_hub.connection import Connection
from scripts.loopback_hub.faults import Hub
from scripts.loopback_hub.server import listening
from scripts.loopback_hub.store import Store

GPU = "NVIDIA GeForce RTX 4090"
PRICE = 0.5
FIELDS = {"name", "image", "args", "disk", "env", "ports", "gpu", "cpu", "cloud", "mounts", "registry", "startSsh",
          "startJupyter", "templateId", "dataCenterIds", "globalNetworking"}  # fmt: skip


@dataclass
class Account(Hub):
    """What every connection shares."""

    pods: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)
    made: int = 0
    stock: str = "HIGH"
    cost: float = PRICE
    hidden: int = 0  # so many listings do not show the newest pod yet
    on_tick: Callable[[float], float] = lambda seconds: 0.0
    on_pod: Callable[[dict[str, Any]], None] = lambda pod: None


class Pods(Connection):
    """The calls."""

    hub: Account
    routes: ClassVar = [
        ("GET", "/v2/catalog/gpus", "gpus"),
        ("GET", "/v2/pods", "pods"),
        ("POST", "/v2/pods", "pod_start"),
        ("DELETE", "/v2/pods/(?P<pod>[^/]+)", "pod_delete"),
        ("GET", "/v2/pods/(?P<pod>[^/]+)/logs", "pod_logs"),
        ("POST", "/tick", "tick"),
    ]

    def gpus(self) -> None:
        row = {
            "id": GPU, "name": "RTX 4090", "pool": "ADA_24", "manufacturer": "NVIDIA", "memory": 24, "secure": True,
            "community": True, "price": {"secure": PRICE, "community": 0.3}, "availability": self.hub.stock,
            "maxCount": {"secure": 8, "community": 4},
        }  # fmt: skip
        self.answer(200, {"gpus": [row]})

    def pods(self) -> None:
        there = list(self.hub.pods)
        if self.hub.hidden and there:
            self.hub.hidden -= 1
            there.pop()
        self.answer(200, {"pods": there})

    def pod_start(self) -> None:
        asked = json.loads(self.read_body())
        unknown = asked.keys() - FIELDS
        if unknown or not asked.get("name") or not asked.get("image") or ("gpu" in asked) == ("cpu" in asked):
            self.problem(422, "Request validation failed.")
        elif self.hub.stock == "NONE" or asked["gpu"]["id"] != GPU:
            self.problem(400, "There are no longer any instances available with the requested specifications.")
        else:
            pod = {
                **asked,
                "id": secrets.token_hex(7),
                "status": "PROVISIONING",
                "cost": self.hub.cost,
                "locked": False,
            }
            self.hub.pods.append(pod)
            self.hub.made += 1
            self.hub.on_pod(pod)
            self.answer(201, pod)

    def pod_delete(self, pod: str) -> None:
        left = [one for one in self.hub.pods if one["id"] != pod]
        if len(left) == len(self.hub.pods):
            self.problem(404, "pod not found")
        else:
            self.hub.pods[:] = left
            self.begin(204, 0, {})

    def pod_logs(self, pod: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        lines = self.hub.lines.get(pod, [])
        begun = int(self.headers.get("Last-Event-ID") or 0) or max(0, len(lines) - int(query.get("tail", ["100"])[0]))
        events = [
            f"id: {number}\ndata: {json.dumps({'ts': '', 'source': 'container', 'line': line})}\n\n"
            for number, line in enumerate(lines, start=1)
            if number > begun
        ]
        self.send(200, "".join(events).encode())

    def tick(self) -> None:
        self.answer(200, {"now": self.hub.on_tick(float(json.loads(self.read_body())["seconds"]))})

    def problem(self, status: int, detail: str) -> None:
        self.answer(status, {"title": "Error", "status": status, "detail": detail})


@contextmanager
def serve_pods(folder: Path) -> Iterator[Account]:
    """A running account without pods."""
    account = Account(Store(folder))
    with listening(type("Bound", (Pods,), {"hub": account})) as address:
        account.endpoint = f"{address}/v2"
        yield account
