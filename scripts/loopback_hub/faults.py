"""What goes wrong at the loopback Hub on request, and what its connections share: the store, the token, the log.

hub.faults.append(Fault("commit", "lost"))   the next commit is applied, and its answer never arrives
hub.faults.append(Fault("resolve", "alter", path="adapter_model.safetensors"))
"""

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

from scripts.loopback_hub.store import Store

WRITING = {"create", "batch", "blob", "verify", "commit", "tag", "settings"}
Kind = Literal[
    "status",
    "drop",
    "lost",
    "late error",
    "alter",
    "truncate",
    "slow",
    "garbage",
    "overtaken",
    "drip",
    "trickle",
    "endless",
]


@dataclass
class Fault:
    """What goes wrong at a call. `times` requests are hit, after `skip` that are not.

    status: answered with `code` and `headers`. drop: the connection ends before the call is done, half-way through a
    body. lost: the call is done, and the connection ends before the answer. alter: one byte of the body differs (blob:
    as stored; resolve: as sent). truncate: half of the body is sent. slow: `seconds` late. garbage: 200, no JSON.
    overtaken: someone else's commit, or tag, comes first. drip: a byte of the body every `seconds`; trickle: of the
    headers. endless: a body of no declared length that does not end.
    """

    call: str
    kind: Kind
    times: int = 1
    code: int = 503
    skip: int = 0
    seconds: float = 0.0
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def gated(times: int = 1, known: bool = False) -> Fault:
    """As the Hub answers for a model whose licence was not accepted: 401 without a token, 403 with one."""
    return Fault("resolve", "status", times, 403 if known else 401, headers={"X-Error-Code": "GatedRepo"})


@dataclass
class Request:
    """One request, as the log keeps it; `status` is 0 until its answer begins, and stays so when it never gets one."""

    call: str
    method: str
    path: str
    status: int = 0


@dataclass
class Hub:
    """What every connection shares. `endpoint` is known once the server listens."""

    store: Store
    user: str = "someone"
    token: str = field(default_factory=lambda: "loopback-" + secrets.token_hex(8))
    endpoint: str = ""
    faults: list[Fault] = field(default_factory=list)
    log: list[Request] = field(default_factory=list)
    # Trusted publishing: repository -> the identity that may have a token for it; token -> its repository.
    trusted: dict[str, str] = field(default_factory=dict)
    exchanged: dict[str, str] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)  # as the API shows them, newest last
    job_lines: dict[str, list[str]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point the client here."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": self.token, "HF_HUB_DISABLE_XET": "1"}

    @property
    def writes(self) -> list[Request]:
        """Requests that changed something, or tried to."""
        return [request for request in self.log if request.call in WRITING]

    def arrived(self, request: Request, path: str) -> Fault | None:
        """Log a request; the fault that hits it, counted.

        Both at once and before the answer: the log is in the order in which faults were dealt out, and whoever has an
        answer finds its request there.
        """
        with self.store.lock:
            self.log.append(request)
            for fault in self.faults:
                if fault.call == request.call and fault.times and path.endswith(fault.path):
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    fault.times -= 1
                    return fault
        return None
