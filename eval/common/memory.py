"""Out of memory is one line that says which number to lower, wherever it happens: on a GPU or in the machine.

    with enough_memory("loading the model", "it needs a GPU with more memory"):
        ...

Libraries say it in many ways: torch has an exception of its own for a GPU, a RuntimeError for the machine's memory and
another for cuBLAS, Python has MemoryError. Nothing is imported to tell them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from eval.common.errors import UserError

SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether this exception, or the one it was raised from, says that memory ran out."""
    if error is None:
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    says_so = isinstance(error, RuntimeError | OSError) and says_out_of_memory(str(error))
    return says_so or is_out_of_memory(error.__cause__)


def says_out_of_memory(text: str) -> bool:
    """Whether a library's message or a line of a log says that memory ran out."""
    return "OutOfMemoryError" in text or any(words in text.lower() for words in SAID)


@contextmanager
def enough_memory(doing: str, advice: str) -> Iterator[None]:
    """UserError with the advice when memory runs out inside; also a decorator of a function."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise UserError(f"out of memory while {doing}: {advice} ({first[:200]})") from error


def smaller_step(recipe: dict[str, object]) -> str:
    """What to do when a training step was too large: keys of the recipe, with their values."""
    micro, steps = recipe.get("micro_batch_size"), recipe.get("gradient_accumulation_steps")
    if isinstance(micro, int) and isinstance(steps, int) and micro > 1:
        return (
            f"set micro_batch_size to {micro // 2} and gradient_accumulation_steps to {steps * 2} (they are {micro} "
            f"and {steps}), or lower sequence_len (it is {recipe.get('sequence_len')})"
        )
    return f"lower sequence_len (it is {recipe.get('sequence_len')}) or lora_r, or train on a GPU with more memory"
