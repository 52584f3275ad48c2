"""The chat template of a base whose server is asked for completions: the same prompts as under `hf`.

template = TokenizerTemplate.of("models/SmolLM2-135M-Instruct", None, arguments)
template.prompt(text)          as the server has to get it: without the first token, where it adds that itself
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

import jinja2  # noqa: E402
import transformers  # noqa: E402

from eval.common.errors import UserError  # noqa: E402
from eval.config.template_arguments import TEMPLATE_DATE, for_templates  # noqa: E402
from eval.model.adapters_on_base import readable  # noqa: E402
from eval.model.generation_settings import asks_for_the_date, neutral_config, token_ids  # noqa: E402


@dataclass(frozen=True)
class TokenizerTemplate:
    """A tokenizer's own template."""

    tokenizer: Any
    tokenizer_name: str
    arguments: Mapping[str, Any]
    revision: str | None = None

    @classmethod
    def of(cls, name: str, revision: str | None, arguments: Mapping[str, Any]) -> "TokenizerTemplate":
        """UserError when there is no such tokenizer."""
        with readable(f"tokenizer {name}"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=revision)
        return cls(tokenizer, name, dict(arguments), revision)

    @property
    def can_chat(self) -> bool:
        return self.tokenizer.chat_template is not None

    @property
    def date(self) -> str | None:
        """The day that the template is told; None where it does not ask."""
        return f"{TEMPLATE_DATE:%Y-%m-%d}" if self.can_chat and asks_for_the_date(self.tokenizer) else None

    def apply_chat_template(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as one prompt. UserError where the template does not take them."""
        if not self.can_chat:
            raise UserError(f"{self.tokenizer_name} has no chat template: set `chat: false` on the tasks")
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                **for_templates(self.arguments),
            )
        except jinja2.exceptions.TemplateError as error:
            raise UserError(
                f"the chat template of {self.tokenizer_name} does not take a task's messages: {error}"
            ) from None
        return rendered

    def end_tokens(self) -> list[int]:
        """Ids of the tokens that end an answer under hf: the base's own, and its tokenizer's."""
        with readable(f"generation settings of {self.tokenizer_name}"):
            try:
                theirs = transformers.GenerationConfig.from_pretrained(
                    self.tokenizer_name, revision=self.revision or "main"
                )
            except OSError:  # a base without any
                theirs = transformers.GenerationConfig()
        return token_ids(neutral_config(theirs, self.tokenizer).eos_token_id)

    def prompt(self, text: str) -> str:
        """A prompt as it is sent. Servers put the first token (BOS) before it as the tokenizer does: never twice."""
        first = self.tokenizer.bos_token
        adds = bool(first) and self.tokenizer("x").input_ids[:1] == [self.tokenizer.bos_token_id]
        return text.removeprefix(first) if adds else text
