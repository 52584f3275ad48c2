"""The two halves of a suite's items: by one a sweep chooses, on the other the chosen adapter is judged. Pure.

    part: verdict                       last line of a suite that `make sweep` derived (docs/sweep.md)
    half_of(suite.seed, cluster)        the half that a cluster is in
    with_part(text, "verdict")          the derived suite's bytes
    wholes(text)                        bytes that the suite it was derived from may have had

Whole clusters go to a half, by a digest of the suite's seed and the cluster's name. So neither rows that are added
later nor whoever starts a sweep moves a cluster, and what two tasks call by one name is in the same half of both.
"""

import hashlib
from typing import Literal

Part = Literal["selection", "verdict"]
SELECTION: Part = "selection"
VERDICT: Part = "verdict"
SAID: dict[Part, str] = {
    SELECTION: "the half by which a sweep chooses, which is never published",
    VERDICT: "the half by which `make sweep` does not choose",
}


def half_of(seed: int, cluster: str) -> Part:
    """The half of every cluster of this name; each half has about as many clusters as the other."""
    digest = hashlib.sha256(f"{seed}\0{cluster}".encode()).digest()
    return SELECTION if digest[0] < 128 else VERDICT


def with_part(text: bytes, part: Part) -> bytes:
    """A suite file's bytes with the line that makes it about one half."""
    return text + (b"" if text.endswith(b"\n") else b"\n") + _line(part)


def wholes(text: bytes) -> list[bytes]:
    """What `with_part` may have been given for this text; empty where its last line names no part."""
    for part in (SELECTION, VERDICT):
        if text.endswith(b"\n" + _line(part)):
            whole = text[: -len(_line(part))]
            return [whole, whole[:-1]]
    return []


def _line(part: Part) -> bytes:
    return f"part: {part}\n".encode()
