"""What a chat template is told besides the messages: the recipe's `chat_template_kwargs`, and a day that never changes.

Training gives the recipe's arguments to the template (a hybrid model trained with `enable_thinking: false` is asked
with it, too). A template that prints today's date gets TEMPLATE_DATE: prompts would differ from day to day otherwise,
and with them the answers.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from eval.common.errors import UserError

TEMPLATE_DATE = datetime.datetime(2025, 1, 1, 12)
DATE_FUNCTION = "strftime_now"  # what transformers offers a template to ask for the time
# Arguments of apply_chat_template itself: one of them would change how a prompt is made, and not what it says.
NOT_FOR_TEMPLATES = {
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents", "max_length",
    "messages", "padding", "return_assistant_tokens_mask", "return_dict", "return_tensors", "tokenize",
    "tokenizer_kwargs", "tools", "truncation", DATE_FUNCTION,
}  # fmt: skip


def template_arguments(recipe: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`chat_template_kwargs` of a recipe. UserError when it is no mapping, or sets what is no template's business."""
    found = recipe.get("chat_template_kwargs") or {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{where}: chat_template_kwargs is not a mapping of names to values")
    if wrong := sorted(found.keys() & NOT_FOR_TEMPLATES):
        raise UserError(f"{where}: chat_template_kwargs: {wrong[0]} is not for a template to know: remove it")
    try:
        arguments: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    except (TypeError, ValueError):
        raise UserError(f"{where}: chat_template_kwargs: only texts, numbers, true, false, null, lists, maps") from None
    return arguments


def for_templates(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What every rendering of a chat template gets: a recipe's arguments, and a clock that stands still."""
    return {**arguments, DATE_FUNCTION: frozen_date}


def frozen_date(form: str) -> str:
    """`strftime_now` of a chat template, on TEMPLATE_DATE."""
    return TEMPLATE_DATE.strftime(form)
