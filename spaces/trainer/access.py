"""Who may use the page. Every handler asks, since whoever can reach the server can call any of them by name.

    access = access_from(os.environ)        on a Space
    access = Access(owner="Ada")            on this machine: whoever has the address (spaces/trainer/door.py)
    user = access.user(request)             Denied for anybody else

On a Space (SPACE_ID is set) Hugging Face signs people in, and SPACE_ALLOWED names who may use the page: user names with
commas between. An empty list lets nobody in. Outside of a Space Gradio's sign-in is a stand-in that takes every visitor
for the owner of the machine's token, under a cookie that anybody can make: it is not used there.

Not protected against: whoever holds an allowed account or its session cookie, the Space's administrators, and other
programs of the user that runs the page.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.common.errors import Refused, UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")  # of a Hugging Face account
SIGN_IN = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")  # a Space sets them


class Denied(Refused):
    """Nothing was done and nothing shown: this user may not."""


@dataclass(frozen=True)
class Access:
    """Who may. `owner` is set on this machine alone; then nobody signs in, and `allowed` is not read."""

    allowed: frozenset[str] = frozenset()
    owner: str = ""

    def user(self, request: Any) -> str:
        """Name of the user who sent a request (gr.Request). Denied when nobody is signed in, or somebody else."""
        if self.owner:
            return self.owner
        if not self.allowed:
            raise Denied("nobody may use this page: set SPACE_ALLOWED to the user names that may")
        name = signed_in(request)
        if name.lower() not in self.allowed:
            raise Denied(f"{name} may not use this page: SPACE_ALLOWED does not name that user")
        return name


def signed_in(request: Any) -> str:
    """The account that Hugging Face has vouched for in the request's session. Denied when there is none."""
    scope = getattr(getattr(request, "request", request), "scope", None)
    session = scope.get("session") if isinstance(scope, dict) else None
    found = session.get("oauth_info") if isinstance(session, dict) else None
    if not isinstance(found, dict):
        raise Denied("sign in first")
    expires = found.get("expires_at")
    if not isinstance(expires, int | float) or expires <= time.time():
        raise Denied("the sign-in is too old: sign in again")
    user = found.get("userinfo")
    name = user.get("preferred_username") if isinstance(user, dict) else None
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Denied("sign in first")
    return name


def access_from(variables: Mapping[str, str]) -> Access:
    """A Space's list of users. UserError when the Space cannot tell who somebody is."""
    if variables.get("SYSTEM") != "spaces":  # Gradio would sign anybody in as the owner of the token
        raise UserError("SPACE_ID is set and SYSTEM is not `spaces`: unset SPACE_ID to serve the page on this machine")
    if empty := [name for name in SIGN_IN if not variables.get(name)]:
        raise UserError(f"{empty[0]} is not set: write `hf_oauth: true` into the Space's README.md")
    names = [name.strip() for name in variables.get("SPACE_ALLOWED", "").split(",")]
    if wrong := [name for name in names if name and not NAME.fullmatch(name)]:
        raise UserError(f"SPACE_ALLOWED: {wrong[0]!r} is not a user name; write names with commas between")
    return Access(frozenset(name.lower() for name in names if name))
