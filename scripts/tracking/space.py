"""Push what trackio has stored here to a Space of the user's, by the app that runs there: trackio's own protocol.

    make sync TO=trackio SPACE=user/space [RUN=]

For the user's side: whoever trained and tracked needs neither login nor network, only this step does. Every row goes
with an id made of what it holds, so that pushing again adds nothing. Numbers and settings are pushed, files are not.

The Space has to exist. `trackio.sync` would make it: public, unless told otherwise, and with the user's token among its
secrets. The token itself goes to the Space with each call, since its app checks by it who may write.

Not protected against: a Space whose app is another than trackio's. It gets the token.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from eval.common.error_log import message
from eval.common.errors import UserError
from eval.run.digests import json_sha256
from scripts.tracking.tracker import PROJECT

NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
ROWS = 500  # a call, as trackio's own sync
IDLE_SECONDS, CALL_SECONDS = 90.0, 600.0
AGAIN = "run the same command again: what has arrived is not sent twice"


def push(folder: Path, space: str, runs: list[str] | None) -> int:
    """Push every row stored below `folder`, or those of the named runs; returns how many.

    UserError when there is no login or no such Space, or it did not take them.
    """
    if not NAME.fullmatch(space):
        raise UserError(f"SPACE={space[:200]!r} is not a Space: name it as user/space")
    if not (folder / f"{PROJECT}.db").is_file():
        raise UserError(f"{folder}: nothing is stored there: `make track TO=trackio` first")
    # Read where trackio and gradio are imported. Offline is how it was tracked, not how it is pushed.
    os.environ.update(TRACKIO_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.pop("HF_HUB_OFFLINE", None)
    try:
        import httpx
        from huggingface_hub import get_token
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
    except ModuleNotFoundError as error:
        raise UserError(f"the package {error.name} is not installed: `make tracking-setup`") from None
    token = get_token()
    if token is None:
        raise UserError("no Hugging Face login: run `.venv/bin/hf auth login`, or set HF_TOKEN, then `make sync` again")
    try:
        return sum(send(space, token, rows_of(runs)))
    except RepositoryNotFoundError:
        raise UserError(
            f"there is no Space {space} that this login may see: make one first (docs/tracking.md says how)"
        ) from None
    except (httpx.HTTPError, HfHubHTTPError, OSError, TimeoutError, ValueError) as error:
        raise UserError(f"{space} did not take the rows ({message(error)[:200]}): {AGAIN}") from None


def rows_of(runs: list[str] | None) -> dict[str, list[dict[str, Any]]]:
    """What is stored, by the call that takes it. A part is called <run>.train or <run>.eval."""
    from trackio.sqlite_storage import SQLiteStorage

    stored = {
        "/bulk_log": SQLiteStorage.get_all_logs_for_sync(PROJECT),
        "/bulk_log_system": SQLiteStorage.get_all_system_logs_for_sync(PROJECT),
    }
    return {call: list(identified(rows, runs)) for call, rows in stored.items()}


def identified(rows: Iterable[dict[str, Any]], runs: list[str] | None) -> Iterator[dict[str, Any]]:
    """The rows of the named runs, each with an id that follows from what it says."""
    for row in rows:
        if runs is None or row["run"].rpartition(".")[0] in runs:
            said = {name: row.get(name) for name in ("project", "run", "step", "metrics")}
            yield row | {"log_id": json_sha256(said)[:32]}


def send(space: str, token: str, rows: dict[str, list[dict[str, Any]]]) -> Iterator[int]:
    """Give the Space's app its rows, some at a time; how many each call took."""
    from gradio_client import Client

    client = Client(space, token=token, verbose=False, httpx_kwargs={"timeout": IDLE_SECONDS})
    for call, all_of_it in rows.items():
        for start in range(0, len(all_of_it), ROWS):
            some = all_of_it[start : start + ROWS]
            client.submit(api_name=call, logs=some, hf_token=token).result(timeout=CALL_SECONDS)
            print(f"sync: {space}: {start + len(some)} of {len(all_of_it)} rows ({call[1:]})", flush=True)
            yield len(some)
    client.close()
