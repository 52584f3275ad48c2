"""Rows of chat messages: system, user, assistant."""

from eval.contracts.task import Row


def asked(row: Row) -> str:
    """What the user said."""
    return str(row["messages"][1]["content"])


def replied(row: Row) -> str:
    """What the assistant said: the gold."""
    return str(row["messages"][2]["content"])
