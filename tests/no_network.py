"""Tests reach this machine alone: whatever else is connected to, or looked up, ends the test that tried.

    refuse()       from now on, in this process; its children get proxies that nobody serves

What is refused ends the test even where the code under test catches every exception. Not seen: what a library connects
to without Python's sockets, but for the proxies, and a child that is given an environment of its own.
"""

import ipaddress
import os
import sys
from typing import Any

import pytest

NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once
LOCAL_NAMES = ("", "localhost", "localhost.localdomain", "ip6-localhost")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
CONNECTS, LOOKS_UP = (
    ("socket.connect", "socket.sendto", "socket.sendmsg"),
    ("socket.getaddrinfo", "socket.gethostbyname"),
)


def is_local(host: Any) -> bool:
    """Whether a host is this machine, by name or address."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name in LOCAL_NAMES
    return address.is_loopback or address.is_unspecified


def refuse() -> None:
    """For the life of this process: Python has no way to take an audit hook back."""
    for name in PROXIES:
        os.environ[name] = os.environ[name.upper()] = NOWHERE
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"
    sys.addaudithook(_look)


def _look(event: str, given: tuple[Any, ...]) -> None:
    if event in LOOKS_UP:
        host = given[0]
    elif event in CONNECTS and isinstance(given[1], tuple):  # an address of another kind stays on this machine
        host = given[1][0]
    else:
        return
    if not is_local(host):
        pytest.fail(f"a test tried to reach {host}: tests use no network")
