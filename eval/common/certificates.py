"""Whose certificates count for an httpx client: `verify=authorities()`.

Reading them takes 25 ms of processor time, and httpx does so for every client, and again for each of its proxies.
"""

import functools
import ssl

import httpx


@functools.cache
def authorities(trust_env: bool = True) -> ssl.SSLContext:
    """httpx's own context; with `trust_env`, SSL_CERT_FILE and SSL_CERT_DIR count as they were at the first call."""
    return httpx.create_ssl_context(trust_env=trust_env)
