"""Plays the machines that scripts/remote rents at the loopback Hub and RunPod's stand-in, and the time that passes.

cloud = Cloud(hub, account, run)       run: the finished run that a machine sends when its work is done
cloud.plan = ["dies", "ends"]          what the first machine does, and the second
cloud.live()                           machines that bill
"""

import json
from pathlib import Path
from typing import Any

from eval.run.digests import manifest_text
from scripts.loopback_hub.faults import Hub
from scripts.remote.provider import PREFIX
from tests.runpod_server import Account

BEGUN = 1_800_000_000.0
RUNS_AT, ENDS_AT = 40.0, 120.0  # seconds after a machine's start
LIVE = ("SCHEDULING", "RUNNING")


class Cloud:
    """Machines of both providers. What one does: `ends` with its work done and goes; `stays` there all the same; `dies`
    after a checkpoint; `stops` (the container, not the pod); `hangs` for ever; is `queued` for ever; `fails`; says that
    time was `up`; sends a run that is `altered`."""

    def __init__(self, hub: Hub, account: Account, run: Path) -> None:
        self.hub, self.account, self.run = hub, account, run
        self.time, self.plan, self.keeps_deadlines = BEGUN, ["ends"], True
        self.known: dict[str, dict[str, Any]] = {}
        self.started = 0
        self.evaluated = True
        account.on_tick = self.tick

    def live(self) -> list[str]:
        jobs = [job["id"] for job in self.hub.jobs if job["status"]["stage"] in LIVE]
        return jobs + [pod["id"] for pod in self.account.pods]

    def rented(self) -> int:
        """How many machines there were in all."""
        return len(self.hub.jobs) + self.account.made

    def tick(self, seconds: float) -> float:
        """Let time pass."""
        self.time += seconds
        for job in self.hub.jobs:
            if job["status"]["stage"] in LIVE:
                self.move(job, job["environment"])
        for pod in list(self.account.pods):
            if pod["name"].startswith(PREFIX):
                self.move(pod, pod["env"])
        return self.time

    def move(self, machine: dict[str, Any], env: dict[str, str]) -> None:
        if machine["id"] not in self.known:
            does = self.plan[min(self.started, len(self.plan) - 1)]
            self.known[machine["id"]] = {"does": does, "since": self.time, "orders": json.loads(env["SECURECLI_ORDER"])}
            self.started += 1
        one = self.known[machine["id"]]
        age, does, orders = self.time - one["since"], one["does"], one["orders"]
        over = self.keeps_deadlines and age >= machine.get("timeoutSeconds", 1e9)
        if over:
            return self.leave(machine, "ERROR")
        if age < RUNS_AT or does == "queued" or one.get("said"):
            return None
        self.become(machine, "RUNNING")
        lines = self.lines(machine)
        if not lines:
            lines += ["remote: make train", f"HF_TOKEN is {self.hub.token}", "step 1/9, loss 2.000"]
        if age >= ENDS_AT and does != "hangs":
            one["said"] = True
            self.say_end(machine, does, orders)
        return None

    def say_end(self, machine: dict[str, Any], does: str, orders: dict[str, Any]) -> None:
        end = {"attempt": orders["attempt"], "stage": "done", "code": 0, "said": "eval ended", "run": self.run.name}
        if does == "fails":
            self.push(orders["repo"], {**end, "stage": "train", "code": 2, "said": "out of memory: lower something"})
        elif does == "up":
            self.push(orders["repo"], {**end, "stage": "train", "code": 2, "said": "time used up", "again": True})
        elif does in ("dies", "stops"):
            self.push(orders["repo"], None)
        else:
            self.push(orders["repo"], end, altered=does == "altered")
        if does == "stops":
            self.become(machine, "EXITED")
        elif does != "stays":
            self.leave(machine, "ERROR" if does == "dies" else "COMPLETED")

    def lines(self, machine: dict[str, Any]) -> list[str]:
        place = self.account.lines if "env" in machine else self.hub.job_lines
        return place.setdefault(machine["id"], [])

    def become(self, machine: dict[str, Any], state: str) -> None:
        if "env" in machine:
            machine["status"] = state
        else:
            machine["status"] = {"stage": state, "message": None}

    def leave(self, machine: dict[str, Any], state: str) -> None:
        if "env" in machine:
            self.account.pods.remove(machine)
        else:
            self.become(machine, state)

    def push(self, repo: str, end: dict[str, Any] | None, altered: bool = False) -> None:
        """What machine.py sends, in one commit."""
        store = self.hub.store
        with store.lock:
            repository = store.get(repo)
            if repository is None:
                return
            files = {}
            for path in sorted(self.run.rglob("*")):
                if path.is_file():
                    name = f"machine/results/{self.run.name}/{path.relative_to(self.run).as_posix()}"
                    files[name] = store.put_bytes(path.read_bytes())
            digests = {name.removeprefix("machine/"): blob.sha256 for name, blob in files.items()}
            files["machine/manifest.sha256"] = store.put_bytes(manifest_text(digests).encode())
            if altered:
                name = f"machine/results/{self.run.name}/metrics.json"
                files[name] = store.put_bytes((self.run / "metrics.json").read_bytes().replace(b"ship", b"shiq"))
            if end is not None:
                files["machine/end.json"] = store.put_bytes(json.dumps(end).encode())
            before = repository.commits[repository.head]
            store.commit(repo, "end", files, [name for name in before if name.startswith("machine/")])
