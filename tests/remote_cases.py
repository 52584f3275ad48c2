"""What may go wrong with a rented machine, and what comes of it: the table of docs/remote.md.

python -m tests.remote_cases        prints the table
"""

from dataclasses import dataclass, field
from typing import Any

from scripts.loopback_hub.faults import Fault

ALWAYS = 10_000


@dataclass
class Case:
    """What goes wrong, where, the exit code of `start`, and of the same command once more after the fault is over."""

    on: str
    code: int
    words: str = ""
    plan: tuple[str, ...] = ("ends",)
    faults: tuple[Fault, ...] = ()
    again: int | None = None
    hours: float = 2.0
    account: dict[str, Any] = field(default_factory=dict)
    kill: str = ""
    machines: int = 1


KILLED = {
    "before anything is asked": "runpod",
    "when the code is sent": "runpod",
    "before the start": "runpod",
    "after the start, before it is written down": "runpod",
    "while it trains": "runpod",
    "while it trains, too": "hf-jobs",
    "before it is ended": "runpod",
    "after it was ended": "runpod",
    "when the run is in results/": "runpod",
    "before the verdict": "runpod",
}


def status(call: str, code: int, times: int = 1, skip: int = 0) -> tuple[Fault, ...]:
    """A call that is answered with a code, and not done."""
    return (Fault(call, "status", times=times, code=code, skip=skip),)


POD, HF = "runpod", "hf-jobs"
MADE_500 = (Fault("pod_start", "late error", code=500),)
MADE_502 = Fault("job_start", "late error", code=502)
CASES = {
    "nothing goes wrong (jobs)": Case(HF, 0, "nothing of it is left"),
    "nothing goes wrong (pods)": Case(POD, 0, "nothing of it is left"),
    "no capacity": Case(POD, 2, "no RTX 4090 free", account={"stock": "NONE"}, again=0),
    "no capacity, seen at the start": Case(POD, 2, "starts no", faults=status("pod_start", 400), again=0),
    "no capacity for half an hour": Case(HF, 2, "no a10g-large within", plan=("queued", "ends"), again=0, machines=2),
    "out of credit (jobs)": Case(HF, 2, "no credit", faults=status("job_start", 402), again=0),
    "out of credit (pods)": Case(POD, 2, "no credit", faults=status("pod_start", 402), again=0),
    "out of credit while it trains": Case(POD, 2, "no credit", plan=("dies", "ends"), again=0, machines=2,
                                          faults=status("pod_start", 402, skip=1)),
    "start answered with 502 after it happened (jobs)": Case(HF, 0, faults=(MADE_502,)),
    "start answered with 500 after it happened (pods)": Case(POD, 0, faults=MADE_500),
    "the same, and the list is late": Case(POD, 0, faults=MADE_500, account={"hidden": 2}),
    "the same, and the list is very late": Case(POD, 0, faults=MADE_500, account={"hidden": 3}, machines=2),
    "start: the connection is lost": Case(POD, 0, faults=(Fault("pod_start", "lost"),)),
    "start: no JSON comes back": Case(HF, 0, faults=(Fault("job_start", "garbage"),)),
    "start: 429": Case(POD, 0, faults=status("pod_start", 429)),
    "start: 503 for long": Case(POD, 2, "did not say", faults=status("pod_start", 503, ALWAYS), again=0),
    "the provider cannot be asked for a while": Case(POD, 0, faults=status("pods", 503, 30)),
    "listing: the connection is lost": Case(HF, 0, faults=(Fault("jobs", "lost", times=3, skip=1),)),
    "the key is wrong": Case(POD, 2, "RUNPOD_API_KEY is wrong", faults=status("gpus", 401), again=0),
    "the machine dies": Case(HF, 0, "another one goes on", plan=("dies", "ends"), machines=2),
    "the pod dies": Case(POD, 0, "another one goes on", plan=("dies", "ends"), machines=2),
    "the container ends, and the pod bills": Case(POD, 0, "another one goes on", plan=("stops", "ends"), machines=2),
    "three machines die": Case(POD, 2, "lost 3 machine(s)", plan=("dies", "dies", "dies", "ends"), again=0, machines=4),
    "the deadline is ignored (jobs)": Case(HF, 2, "used up", plan=("hangs",)),
    "the deadline is ignored (pods)": Case(POD, 2, "used up", plan=("hangs",)),
    "time is up, and more is given": Case(POD, 2, "used up", plan=("up", "ends"), again=0, machines=2),
    "the pod does not delete itself": Case(POD, 0, plan=("stays",)),
    "training fails there": Case(HF, 2, "out of memory", plan=("fails",)),
    "ending it fails at first": Case(POD, 0, plan=("stays",), faults=status("pod_delete", 500, 6)),
    "ending it fails for long": Case(POD, 2, "still lists", plan=("stays",), again=0,
                                     faults=status("pod_delete", 500, ALWAYS)),
    "it costs more than was quoted": Case(POD, 2, "was quoted at", account={"cost": 0.9}, again=2, machines=2),
    "the log is cut off": Case(POD, 0, faults=(Fault("pod_logs", "lost", times=3),)),
    "the log fails for long": Case(HF, 0, faults=status("job_logs", 403, ALWAYS)),
    "the Hub is away while it ends": Case(POD, 0, faults=status("resolve", 503, 60, skip=4)),
    "the repository cannot be made": Case(POD, 2, "403", faults=status("create", 403, 4), again=0),
    "fetching: the connection is lost": Case(POD, 0, faults=(Fault("tree", "drop", skip=1),)),
    "fetching: a byte differs": Case(POD, 0, faults=(Fault("resolve", "alter", path="scores.jsonl"),)),
    "fetching: a byte differs each time": Case(POD, 2, "altered on the way", again=0,
                                               faults=(Fault("resolve", "alter", path="scores.jsonl", times=ALWAYS),)),
    "the run folder was altered on the Hub": Case(HF, 2, "altered on the way", plan=("altered",), again=2),
    "the repository cannot be deleted": Case(HF, 0, "delete someone/", faults=status("delete", 500, 9)),
    **{f"this computer is killed {point}": Case(on, 0, kill=point) for point, on in KILLED.items()},
}  # fmt: skip


def table() -> str:
    """The table of docs/remote.md."""
    rows = ["| what goes wrong | on | exit code | the same command again | machines rented | left |",
            "|---|---|--:|--:|--:|--:|"]  # fmt: skip
    for name, case in CASES.items():
        again = "" if case.again is None else str(case.again)
        rows.append(f"| {name} | `{case.on}` | {case.code} | {again} | {case.machines} | 0 |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
