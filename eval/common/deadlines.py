"""Requests that end in time: sockets of an httpx client whose reads and writes stop when the current request has to.

    end_in_time(transport)                    of httpx, once, when the client is made
    set_deadline(until, late)                 before each request, in the thread that makes it

httpx's own time-outs begin anew with each byte, so that a server which sends one now and then holds a request for ever.
"""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpcore
import httpx

PIECE_BYTES = 1 << 20  # of what is sent: between two, the deadline is looked at


def too_late() -> Exception:
    return TimeoutError("the answer did not end in time")


class _Current(threading.local):
    """When the request that this thread reads or writes has to be over (time.monotonic()), and what is raised then."""

    until: float = math.inf
    late: Callable[[], Exception] = staticmethod(too_late)


_current = _Current()


def set_deadline(until: float, late: Callable[[], Exception] = too_late) -> None:
    """What this thread sends and receives from now on ends by `until` (time.monotonic()), or `late()` is raised."""
    _current.until, _current.late = until, late


def end_in_time(transport: httpx.BaseTransport) -> None:
    """Let every connection of an httpx transport look at the deadline of the thread that uses it."""
    pool: Any = getattr(transport, "_pool")  # noqa: B009  httpx has no public way to the sockets of its transport
    pool._network_backend = Sockets(pool._network_backend)


def left() -> float:
    """Seconds until the current request has to be over. Raises what `set_deadline` was given when none are left."""
    seconds = _current.until - time.monotonic()
    if seconds <= 0:
        raise _current.late()
    return seconds


def sooner(timeout: float | None) -> float | None:
    """The shorter of a time-out and what the current request has left; None for no limit at all."""
    shorter = min(left(), math.inf if timeout is None else timeout)
    return None if shorter == math.inf else shorter


class Sockets(httpcore.NetworkBackend):
    """Connections whose reads and writes end when the current request has to."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self.inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        return Socket(self.inner.connect_tcp(host, port, sooner(timeout), local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        return Socket(self.inner.connect_unix_socket(path, sooner(timeout), socket_options))

    def sleep(self, seconds: float) -> None:
        self.inner.sleep(seconds)


class Socket(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self.inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self.inner.read(max_bytes, sooner(timeout))
        except httpcore.ReadTimeout:
            left()  # of the two limits, that of the whole request is the one to name
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        sock = self.inner.get_extra_info("socket")
        view = memoryview(buffer)
        while view:  # as httpcore does it, with a look at the clock between two pieces
            sock.settimeout(sooner(timeout))
            try:
                view = view[sock.send(view[:PIECE_BYTES]) :]
            except TimeoutError as error:
                left()
                raise httpcore.WriteTimeout(error) from error
            except OSError as error:
                raise httpcore.WriteError(error) from error

    def close(self) -> None:
        """Also for a thread that is waiting to read from it: closing alone would leave that thread to its time-out."""
        with suppress(OSError):  # the other side is gone already
            self.inner.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return Socket(self.inner.start_tls(ssl_context, server_hostname, sooner(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)
