"""A Hub on this machine: what the real huggingface_hub client needs to create, upload, tag and download a model.

    with serve(folder) as hub:                   threads; state on disk below `folder`
        os.environ |= hub.environment            HF_ENDPOINT, HF_TOKEN...; huggingface_hub reads them at import
    python -m scripts.loopback_hub.server --folder DIR  until interrupted

    hub.faults.append(Fault("commit", "lost"))   the next commit is applied, and its answer never arrives
    hub.writes                                   requests that changed something, or tried to

Listens on 127.0.0.1 only; anyone on this machine can reach it, and needs its token to see anything private.
"""

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from eval.common.errors import run_command
from scripts.loopback_hub.calls import Handler
from scripts.loopback_hub.faults import Fault, Hub
from scripts.loopback_hub.store import Store

__all__ = ["Fault", "Hub", "serve"]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the client downloads with many threads


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[str]:
    """A server of this machine alone, in a thread; its address. Stopped when the block ends. Port 0: any free one."""
    server = Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serve(folder: Path, port: int = 0) -> Iterator[Hub]:
    """A running Hub whose state is below `folder`; stopped when the block ends. Port 0: any free one."""
    hub = Hub(Store(folder))
    with listening(type("Bound", (Handler,), {"hub": hub}), port) as hub.endpoint:
        yield hub


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.loopback_hub.server", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--folder", type=Path, required=True, help="where repositories are kept")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    arguments = parser.parse_args(argv)
    with serve(arguments.folder, arguments.port) as hub, suppress(KeyboardInterrupt):
        print(" ".join(f"{name}={value}" for name, value in hub.environment.items()), flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    run_command(main)
