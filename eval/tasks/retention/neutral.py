"""The neutral prompts of drift: what one says, and the divergence that was measured on it."""

import json
import math
from typing import Any

PROMPTS = "data/retention/neutral.jsonl"


def neutral_text(row: dict[str, Any]) -> str:
    """What a drift prompt says, without a chat template."""
    messages = row.get("messages")
    return str(row["text"]) if messages is None else "\n\n".join(part["content"] for part in messages)


def drift_metrics(row: dict[str, Any], answer: str) -> dict[str, float]:
    """kl, in nats, as it was measured; `answer` is the JSON that drift writes."""
    value = json.loads(answer)["kl"]
    return {"kl": math.nan if value is None else float(value)}
