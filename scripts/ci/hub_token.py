"""A token of the Hub for one command, from the workflow's own identity: nothing is stored (trusted publishing).

    code = with_token("owner/name", [sys.executable, "-m", "scripts.publish", ...])

`hf auth token` of a newer huggingface_hub, in an environment of its own (`make hub-login`), asks GitHub who this job is
and has the Hub exchange that for a token: an hour long, for this one repository (OIDC, RFC 8693). The runner is told to
mask it; it is handed on to the command alone, in its environment.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from eval.common.errors import UserError
from eval.common.places import ROOT
from scripts.ci.runner import mask

HF = ROOT / ".cache" / "hub-login" / "bin" / "hf"
SECONDS = 120
KEPT_FROM_IT = ("HF_TOKEN", "HF_OIDC_RESOURCE", "HF_OIDC_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                "ACTIONS_ID_TOKEN_REQUEST_URL", "GITHUB_TOKEN")  # fmt: skip


def short_lived_token(repo: str, hf: Path = HF) -> str:
    """The token. UserError when there is none: no identity, no trusted publisher, no network."""
    if not hf.is_file():
        raise UserError(f"{hf} is missing: run `make hub-login`")
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    try:
        done = subprocess.run(
            [hf, "auth", "token"], env=environment | {"HF_OIDC_RESOURCE": repo, "NO_COLOR": "1"},
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(f"the Hub gave no token within {SECONDS} s: run the job again") from None
    words = done.stdout.split()
    if done.returncode or not words or not words[0].startswith("hf_"):
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1].strip()[:300] if lines else f"`hf auth token` ended with {done.returncode}"
        raise UserError(
            f"the Hub gives this job no token for {repo}: {said}: is it a trusted publisher of that repository, and "
            "does the job have `id-token: write`?"
        )
    return words[0]


def with_token(repo: str, command: Sequence[str]) -> int:
    """Exit code of a command that has the token, and nothing that could ask for another."""
    token = short_lived_token(repo)
    mask(token)
    environment = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_IT}
    return subprocess.run(command, env=environment | {"HF_TOKEN": token}, cwd=ROOT, check=False).returncode
