"""The network is refused in tests, in whatever way a test would reach it."""

import http.client
import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.no_network import is_local

ELSEWHERE = "192.0.2.1"  # for documentation: nobody has it


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: socket.create_connection((ELSEWHERE, 80), timeout=5),
        lambda: socket.socket().connect_ex((ELSEWHERE, 80)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (ELSEWHERE, 53)),
        lambda: socket.getaddrinfo("pypi.example", 443),
        lambda: http.client.HTTPConnection("hub.example", timeout=5).request("GET", "/"),
    ],
    ids=["connect", "connect_ex", "datagram", "name", "http"],
)
def test_an_attempt_ends_the_test_even_where_errors_are_caught(attempt) -> None:
    with pytest.raises(pytest.fail.Exception, match="tests use no network"):
        try:
            attempt()
        except Exception as error:  # as code under test may
            pytest.fail(f"an ordinary error: {error!r}", pytrace=False)


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    assert is_local("::1") and is_local(b"localhost") and not is_local("localhost.example") and not is_local("10.0.0.1")


def test_a_child_gets_proxies_that_nobody_serves() -> None:
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=30)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == 1 and "Connection refused" in child.stderr
    assert urllib.request.proxy_bypass_environment("127.0.0.1:8000")
    assert os.environ["HTTPS_PROXY"] == os.environ["https_proxy"]
