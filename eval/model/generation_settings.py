"""What decides an answer beside the weights and the prompt, and is said in metrics.json: nothing is inherited.

A base's generation_config.json is for chatting: it may ask for sampling, a repetition penalty, forced or forbidden
tokens. None of that counts here, since greedy means greedy; only the ids of the tokens that end a text, begin one or
fill one up are kept. A task may ask for settings of its own: they are part of its prompts' digests.
"""

from typing import Any

import transformers

from eval.config.template_arguments import DATE_FUNCTION, TEMPLATE_DATE
from eval.run.metrics import GenerationSettings

# Said outright, so that no later default of the library can change them.
GREEDY: dict[str, Any] = {
    "do_sample": False, "num_beams": 1, "num_return_sequences": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0,
    "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0, "length_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0,
    "use_cache": True,
}  # fmt: skip
NOT_A_SETTING = {"transformers_version", "bos_token_id", "eos_token_id", "pad_token_id"}


def neutral_config(theirs: Any, tokenizer: Any) -> Any:
    """A greedy transformers GenerationConfig with nothing of a base's own but its special tokens' ids.

    The tokenizer's end token ends a text as well. Batches are filled up with the tokenizer's own token, or its end.
    """
    ends = list(dict.fromkeys([*token_ids(theirs.eos_token_id), *token_ids(tokenizer.eos_token_id)]))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return transformers.GenerationConfig(
        bos_token_id=theirs.bos_token_id, eos_token_id=ends or None, pad_token_id=pad, **GREEDY
    )


def ignored_settings(theirs: Any) -> dict[str, Any]:
    """What a base's generation_config asks for beyond the neutral settings."""
    return {
        name: value
        for name, value in sorted(theirs.to_diff_dict().items())
        if name not in NOT_A_SETTING and not name.startswith("_") and value != GREEDY.get(name) and value is not None
        if name in GREEDY or value is not False  # what is switched off asks for nothing
    }


def settings_of(lm: Any) -> GenerationSettings:
    """The settings under which a loaded model (eval/model/hf.py) answers, for metrics.json."""
    config = lm.model.generation_config
    return GenerationSettings(
        end_tokens=token_ids(config.eos_token_id),
        pad_token=config.pad_token_id,
        decoding={name: getattr(config, name) for name in GREEDY},
        ignored=lm.ignored,
        template_arguments={name: value for name, value in lm.chat_template_args.items() if name != DATE_FUNCTION},
        template_date=f"{TEMPLATE_DATE:%Y-%m-%d}" if asks_for_the_date(lm.tokenizer) else None,
    )


def asks_for_the_date(tokenizer: Any) -> bool:
    """Whether a chat template of this tokenizer asks what day it is."""
    template = tokenizer.chat_template
    texts = template.values() if isinstance(template, dict) else [template or ""]
    return any(DATE_FUNCTION in text for text in texts)


def token_ids(tokens: Any) -> list[int]:
    """Ids of one special token, of several, or of none."""
    return [] if tokens is None else [int(token) for token in (tokens if isinstance(tokens, list) else [tokens])]
