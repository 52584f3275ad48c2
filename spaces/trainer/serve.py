"""Serve the page: `make space` on this machine, or as a Space.

    python -m spaces.trainer [--reviewer NAME]      on 127.0.0.1, below a token that the terminal prints

With SPACE_ID set it is a Space: every address, port 7860, and Hugging Face signs people in (spaces/trainer/access.py).
Ctrl-C ends the page, never a job.
"""

import argparse
import contextlib
import getpass
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from eval.common.errors import UserError
from eval.run.folder import RESULTS
from scripts.publishing.approval import git_user
from scripts.publishing.names import name_problem
from spaces.trainer.access import Access, access_from
from spaces.trainer.choices import RECIPES
from spaces.trainer.jobs import FOLDER

HOST = "127.0.0.1"
SPACE_PORT = 7860
HUB = "https://huggingface.co https://*.huggingface.co"  # which shows a Space in a frame


def owner(given: str | None) -> str:
    """Who uses the page on this machine: as given, or as git knows them. UserError for what cannot be a reviewer."""
    name = (given or (git_user() or "").split(" <")[0] or getpass.getuser()).strip()
    if problem := name_problem(name):
        raise UserError(f"--reviewer {problem}: give it in the letters of one writing system")
    return name


def quiet_libraries() -> None:
    """No statistics to Gradio, no look-ups of its newest version. Read where it is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_SSR_MODE"] = "False"
    os.environ["GRADIO_MCP_SERVER"] = "False"
    os.environ.pop("GRADIO_ALLOWED_PATHS", None)
    os.environ.pop("GRADIO_LOCAL_DEV_MODE", None)


def application(access: Access, path: str, hosts: set[str], folders: tuple[Path, Path, Path]) -> Any:
    """The ASGI application: the door, and Gradio mounted at `path` behind it. `folders`: jobs, recipes, results."""
    import fastapi
    import gradio as gr

    from spaces.trainer.door import Door
    from spaces.trainer.jobs import Jobs
    from spaces.trainer.page import STYLE, Desk, build

    jobs, recipes, results = folders
    local = bool(access.owner)
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # nothing is fetched from elsewhere
    theme = gr.themes.Base(primary_hue="emerald", neutral_hue="stone", font=sans, font_mono=mono)
    app = gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        build(Desk(access, Jobs(jobs), recipes, results)),
        path,
        footer_links=[],
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=STYLE,
    )
    return Door(app, hosts, only_these=local, framed_by="'none'" if local else HUB)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m spaces.trainer", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reviewer", help="who you are, on this machine (default: as git knows you)")
    parser.add_argument("--recipes", type=Path, default=RECIPES, help="folder of the recipes to choose from")
    parser.add_argument("--jobs", type=Path, default=FOLDER, help="folder of the jobs and their logs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the runs whose reports are shown")
    arguments = parser.parse_args(argv)
    if not arguments.recipes.is_dir():
        raise UserError(f"{arguments.recipes} is not a folder: give one with recipes")
    folders = arguments.jobs.absolute(), arguments.recipes.absolute(), arguments.results.absolute()
    on_space = bool(os.environ.get("SPACE_ID"))
    access = access_from(os.environ) if on_space else Access(owner=owner(arguments.reviewer))
    quiet_libraries()
    return serve_space(access, folders) if on_space else serve_here(access, folders)


def serve_here(access: Access, folders: tuple[Path, Path, Path]) -> int:
    """Until Ctrl-C, for whoever has the address."""
    with socket.create_server((HOST, 0)) as listening:
        port, token = listening.getsockname()[1], secrets.token_urlsafe(32)
        host = f"{HOST}:{port}"
        print("page     starting", flush=True)  # importing Gradio takes seconds
        app = application(access, f"/{token}", {host}, folders)
        print(f"page     http://{host}/{token}/\nyou are  {access.owner}", flush=True)
        print(f"from another machine: ssh -L {port}:{host} THIS_MACHINE, then the same address", flush=True)
        print("Ctrl-C ends the page; a job that runs goes on, and the next page finds it", flush=True)
        run_server(app, listening)
    return 0


def serve_space(access: Access, folders: tuple[Path, Path, Path]) -> int:
    """As a Space, for the users of SPACE_ALLOWED."""
    names = {name.strip() for name in os.environ.get("SPACE_HOST", "").split(",")} - {""}
    port = int(os.environ.get("GRADIO_SERVER_PORT") or SPACE_PORT)
    with socket.create_server(("0.0.0.0", port)) as listening:
        app = application(access, "/", names, folders)
        who = f"{len(access.allowed)} user(s)" if access.allowed else "nobody: SPACE_ALLOWED is empty"
        print(f"page     port {listening.getsockname()[1]}, for {who}", flush=True)
        run_server(app, listening)
    return 0


def run_server(app: Any, listening: socket.socket) -> None:
    """Requests are not logged: a line would hold the token. A Space's proxy says that it speaks https."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips="*",
        timeout_graceful_shutdown=2,  # seconds; a page in a browser keeps a connection open
    )
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a page ends
        uvicorn.Server(config).run(sockets=[listening])
