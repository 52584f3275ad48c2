"""What is sent for one item, and what comes back, taken apart: text, tokens, how it ended. Nothing is taken on trust.

check_item(sample, api)                      UserError for what this API cannot be asked, before anything is
body = request_for(sample, api, model, ...)
said = read_answer(value, api, names, most)  Malformed unless it is an answer of that model
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from eval.common.errors import UserError
from eval.model.endpoint.connection import Malformed
from eval.model.task_rules import most_tokens, settings_of, stop_strings

if TYPE_CHECKING:
    from eval.model.lm_tasks import Sample

Api = Literal["chat", "completions"]
PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}
MOST_STOPS = 4  # that OpenAI's API takes; all of them are applied here besides
LETTERS_A_TOKEN, SPARE = 256, 1024  # the longest tokens of real vocabularies are runs of spaces
DRAWING = ("top_k", "top_p", "min_p", "repetition_penalty")  # as servers call them, too
ENDS = {"stop": "stop", "length": "length"}


@dataclass(frozen=True)
class Said:
    """One answer. `tokens`: as the server counts them, None where it does not say."""

    text: str
    tokens: int | None
    finish: Literal["stop", "length", "unknown"]


def messages_of(prompt: str) -> list[dict[str, str]] | None:
    """The messages that MessagesAsJson made a prompt of; None for any other text."""
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not found:
        return None
    whole = all(
        isinstance(one, dict) and one.keys() == {"role", "content"} and all(isinstance(v, str) for v in one.values())
        for one in found
    )
    return found if whole else None


def check_item(sample: "Sample", api: Api) -> None:
    """UserError for an item that this API cannot be asked as the task means it."""
    if sample.kind != "generate_until":
        return
    where = f"task {sample.task}"
    check_settings(sample)
    if api == "completions":
        return
    messages = messages_of(str(sample.instances[0].args[0]))
    if messages is None:
        raise UserError(f"{where} asks in plain text (`chat: false`): use `api: completions`, or ask in messages")
    if messages[-1]["role"] == "assistant":
        raise UserError(f"{where} begins the answer itself, which a chat API does not continue: `api: completions`")


def check_settings(sample: "Sample") -> None:
    """UserError for a setting of a text's task that no server knows."""
    if settings_of(sample).get("no_repeat_ngram_size"):
        raise UserError(f"task {sample.task}: no_repeat_ngram_size: no server knows it: remove it, or use backend hf")


def request_for(sample: "Sample", api: Api, model: str, prompt: str, seed: int) -> dict[str, Any]:
    """The body of a request for a text: greedy unless the task draws, as lm-eval has it; a repeat has its own seed."""
    settings = settings_of(sample)
    temperature = float(settings.get("temperature", 0.0))
    drawn = settings.get("do_sample", temperature > 0)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": most_tokens(sample),
        "temperature": (temperature or 1.0) if drawn else 0.0,
        "seed": seed + sample.repeat,
    }
    body |= {name: settings[name] for name in DRAWING if name in settings and (drawn or name == "repetition_penalty")}
    body |= {"messages": messages_of(prompt)} if api == "chat" else {"prompt": prompt}
    stops = stop_strings(sample)
    return body | ({"stop": stops[:MOST_STOPS]} if stops else {})


def read_answer(value: Any, api: Api, model: str, other: str, most: int, stops: list[str]) -> Said:
    """The answer in a response. Malformed unless it is one of `model`, and not of the `other` arm's."""
    check_model(value, model, other)
    choice = first_choice(value)
    text = text_of(choice, api)
    if len(text) > most * LETTERS_A_TOKEN + SPARE:
        raise Malformed(f"its answer has {len(text):,} letters, more than the {most} tokens asked for can hold")
    usage = value.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 <= tokens <= 1e9:
        tokens = None
    finish: Any = ENDS.get(str(choice.get("finish_reason")), "unknown")
    for stop in stops:
        if stop in text:
            text, finish = text.split(stop, 1)[0], "stop"
    return Said(text, tokens, finish)


def check_model(value: Any, model: str, other: str) -> None:
    """Malformed where another model says that it answered. Servers add a revision or a date to a name."""
    if not isinstance(value, dict):
        raise Malformed("its answer is no JSON object")
    said = value.get("model", model)
    if not isinstance(said, str) or not said.startswith(model) or (said == other != model):
        raise Malformed(f"it answers as model {str(said)[:100]!r} and was asked as {model!r}")


def first_choice(value: Any) -> dict[str, Any]:
    """The one choice of a response. Malformed where there is none."""
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Malformed("its answer has no `choices`")
    return choices[0]


def text_of(choice: Mapping[str, Any], api: Api) -> str:
    """A choice's text. A chat answer of nothing at all (null) is empty: a model may think until its limit."""
    if api == "chat":
        message = choice.get("message")
        if not isinstance(message, dict) or "content" not in message:
            raise Malformed("its answer has no `message` with a `content`")
        text = message["content"]
        if text is None and choice.get("finish_reason"):
            text = ""
    else:
        text = choice.get("text")
    if not isinstance(text, str):
        raise Malformed("its answer holds no text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("its answer holds half of a character (a lone surrogate)") from None
    return text


def served_names(value: Any) -> dict[str, dict[str, Any]]:
    """What `/models` lists, by name. Malformed where it is no list of models."""
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("id"), str) for row in rows):
        raise Malformed("its /models is no list of models: is that an OpenAI-compatible server?")
    return {row["id"]: row for row in rows}
