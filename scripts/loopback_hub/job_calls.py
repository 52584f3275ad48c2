"""Jobs of the loopback Hub: started, listed, cancelled; their machines are lines in a list, which a test moves on.

Calls: hardware, jobs, job_start, job, job_logs, job_cancel. Jobs that have ended stay listed. Nothing runs here:
`hub.jobs` holds what was asked for, and whoever plays the machine changes `status` and `hub.job_lines`.
"""

import json
import secrets
from typing import Any

from scripts.loopback_hub.connection import Connection

A10G = {"type": "gpu", "model": "A10G", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"}
HARDWARE = [
    ("cpu-basic", "2 vCPU", None, 167, "minute"),
    ("a10g-large", "12 vCPU", A10G, 25000, "minute"),
]  # fmt: skip
LIVE = ("SCHEDULING", "RUNNING")


class JobCalls(Connection):
    """The calls of Jobs."""

    def hardware(self) -> None:
        rows = [
            {"name": name, "prettyName": name, "cpu": cpu, "ram": "16 GB", "ephemeralStorage": "50 GB",
             "accelerator": accelerator, "unitCostMicroUSD": cost, "unitCostUSD": cost / 1e6, "unitLabel": unit}
            for name, cpu, accelerator, cost, unit in HARDWARE
        ]  # fmt: skip
        self.answer(200, rows)

    def jobs(self, owner: str) -> None:
        self.answer(200, [shown(job) for job in self.hub.jobs])

    def job_start(self, owner: str) -> None:
        asked = json.loads(self.read_body())
        if asked["flavor"] not in [row[0] for row in HARDWARE]:
            self.answer(400, {"error": f"no hardware {asked['flavor']}"})
            return
        job = {**asked, "id": secrets.token_hex(12), "status": {"stage": "SCHEDULING", "message": None}}
        job |= {"createdAt": "2026-11-27T00:00:00.000Z", "owner": {"id": "1", "name": owner, "type": "user"}}
        self.hub.jobs.append(job)
        self.answer(200, shown(job))

    def job(self, owner: str, job: str) -> None:
        if found := self.found(job):
            self.answer(200, shown(found))

    def job_logs(self, owner: str, job: str) -> None:
        if self.found(job):
            events = [
                f"data: {json.dumps({'data': line, 'timestamp': ''})}" for line in self.hub.job_lines.get(job, [])
            ]
            self.send(200, "\n\n".join([": keep-alive", *events, ""]).encode())

    def job_cancel(self, owner: str, job: str) -> None:
        self.read_body()
        if found := self.found(job):
            if found["status"]["stage"] in LIVE:
                found["status"] = {"stage": "CANCELED", "message": None}
            self.answer(200, shown(found))

    def found(self, job: str) -> dict[str, Any] | None:
        """The job; answered otherwise."""
        known = next((one for one in self.hub.jobs if one["id"] == job), None)
        if known is None:
            self.answer(404, {"error": "no such job"})
        return known


def shown(job: dict[str, Any]) -> dict[str, Any]:
    """A job as it is listed: the values of its secrets are not."""
    secret_names = dict.fromkeys(job.get("secrets", {}), "***")
    return {**job, "secrets": secret_names}
