"""Pages for a browser, above everything else: `spaces` imports `eval` and `scripts`, and nothing imports it.

Hugging Face has a package of the same name, which lends GPUs to functions of a Space. On a Space Gradio imports
`spaces` and has it wrap every handler; here it finds this one, which leaves them as they are.
"""

from collections.abc import Callable
from typing import Any


def gradio_auto_wrap(function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The handler itself."""
    return function
