"""Whatever goes wrong with the Hub is one line with advice, and holds no address, which may carry a signature."""

import pytest

from eval.common.errors import UserError
from scripts.publishing.hub_errors import hub_errors

SIGNED = "https://hub.example/file?X-Signature=abcdef"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError"),
        (ConnectionResetError(), "ConnectionResetError"),
        (OSError("\n"), "OSError"),
        (OSError(f"Consistency check failed ({SIGNED})\nmore"), r"Consistency check failed \(\[address\]"),
    ],
    ids=["a time-out", "a reset", "blank", "an address"],
)
def test_an_error_of_the_connection_is_one_line(error: OSError, said: str) -> None:
    with (
        pytest.raises(UserError, match=f"^me/model: {said}.*: publish again, it continues$") as raised,
        hub_errors("me/model"),
    ):
        raise error
    assert "Signature" not in str(raised.value)
