"""How a quantised matrix says it is unpacked: what says it otherwise is refused, whatever it is."""

import json
from pathlib import Path

import pytest

from eval.common.errors import Refused
from scripts.publishing.model_files import STATE_KEYS, check_state

SOUND = dict.fromkeys(STATE_KEYS, 64) | {"quant_type": "nf4"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"7",
        b"\xff",
        b"[" * 100_000,
        b'{"blocksize": ' + b"9" * 10_000 + b"}",
        json.dumps(SOUND | {"quant_type": "fp4"}).encode(),
        json.dumps(SOUND | {"auto_map": "x"}).encode(),
    ],
    ids=["nothing", "a number", "no text", "deep", "long digits", "another method", "another key"],
)
def test_a_state_that_is_not_that_of_nf4_is_refused(content: bytes) -> None:
    check_state(Path("model.safetensors"), "weight", json.dumps(SOUND).encode())
    with pytest.raises(Refused, match="weight does not say how NF4 is unpacked"):
        check_state(Path("model.safetensors"), "weight", content)
