"""What a provider of machines has to offer to the loop, and what its failures mean.

Everything that is rented for a job carries the job's name, and a provider lists what it has by name: that way a machine
whose start was answered by a lost connection, or by an error, is found and ended.
"""

import base64
from dataclasses import dataclass
from typing import Literal, Protocol

from eval.common.errors import UserError

PREFIX = "sct-"  # of every job's name; what is called otherwise is somebody else's, and is left alone
RUN_PACKED = 'eval "$(printf %s "$SECURECLI_BOOT" | base64 -d)"'  # bash: what `packed_env` brought along
State = Literal["starting", "running", "ended"]


class NoMachine(UserError):
    """Nothing was started, for certain: no capacity, no credit, a refused request."""


class Unsure(UserError):
    """The provider did not answer, or with an error of its own: what was asked for may have happened."""


@dataclass(frozen=True)
class Offer:
    """Hardware and its price. `gpu` is the provider's own name for it."""

    gpu: str
    count: int
    usd_per_hour: float
    says: str


@dataclass(frozen=True)
class Order:
    """One machine to start. `script` is bash; `secrets` are variables that the provider must not show.

    `seconds` is the longest it may live, where the provider keeps such a limit.
    """

    name: str
    image: str
    script: str
    env: dict[str, str]
    secrets: tuple[str, ...]
    gpu: str
    count: int
    seconds: int


def packed_env(order: Order) -> dict[str, str]:
    """The order's variables, and its script as one of them: nobody on the way reads quotes, dollars or braces in it."""
    return {**order.env, "SECURECLI_BOOT": base64.b64encode(order.script.encode()).decode()}


@dataclass(frozen=True)
class Machine:
    """What a provider lists. `rented`: it has to be ended, whatever its state."""

    id: str
    name: str
    state: State
    rented: bool
    says: str = ""
    usd_per_hour: float | None = None


class Provider(Protocol):
    """One provider. Every method raises Unsure when there is no usable answer, and may be called again."""

    name: str
    default_gpu: str
    default_image: str
    queue_seconds: int  # it may wait so long for hardware without billing; 0: waiting is billed
    ends_itself: str  # how boot.sh ends the machine: "exit", or the name of a call

    def offer(self, gpu: str, count: int) -> Offer:
        """What this hardware costs now. NoMachine when there is none of it."""

    def start(self, order: Order) -> str:
        """Ask for one machine; its id. NoMachine when there is none, Unsure when nobody knows."""

    def machines(self) -> list[Machine]:
        """Everything whose name begins with PREFIX, on whichever computer it was started."""

    def lines(self, machine: Machine, cursor: str) -> tuple[list[str], str]:
        """The machine's log after `cursor` ("": from its beginning), and the next cursor."""

    def stop(self, machine: Machine) -> None:
        """End it for good. One that is gone already is no error."""
