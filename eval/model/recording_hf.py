"""lm-eval's transformers model, with what a record of an answer needs: how many tokens it has and how it ended."""

import bisect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eval.run.environment import silence_libraries

silence_libraries()

from lm_eval.models.huggingface import HFLM  # noqa: E402
from transformers import BitsAndBytesConfig  # noqa: E402

from eval.contracts.numerics import Numerics  # noqa: E402
from eval.model.base_proof import BaseProof  # noqa: E402
from eval.model.generation_settings import token_ids  # noqa: E402
from eval.model.unpacked import keep_unpacked  # noqa: E402


@dataclass
class Batch:
    """Of each answer of the last batch: its tokens, and whether it was cut off before it ended."""

    tokens: list[int] = field(default_factory=list)
    lengths_reached: list[bool] = field(default_factory=list)


class RecordingHF(HFLM):
    """lm-eval's transformers model, keeping the token counts that its interface drops."""

    last: Batch
    identity: Any = None  # of the base's files, see `base_identity`
    proof: BaseProof
    ignored: dict[str, Any]  # of the base's generation_config
    loaded_as: tuple[Any, ...] = ()  # what it can be used for again
    numerics: Numerics = Numerics()
    fits: int = sys.maxsize  # items at once, as far as memory is known to suffice

    def _create_model(self, *args: Any, quantised: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """lm-eval hands a base's own quantisation on, and has no way to ask for one."""
        if quantised:
            kwargs["quantization_config"] = BitsAndBytesConfig(**quantised)
        super()._create_model(*args, **kwargs)
        keep_unpacked(self.model)

    @property
    def can_chat(self) -> bool:
        return self.tokenizer.chat_template is not None

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **generation_kwargs: Any) -> Any:
        output = super()._model_generate(context, max_length, stop, **generation_kwargs)
        self.last = Batch()
        for row in output[:, context.shape[1] :].tolist():
            tokens, ended = self._end(row, stop)
            self.last.tokens.append(tokens)
            self.last.lengths_reached.append(not ended)
        return output

    def _end(self, row: list[int], stop: list[str]) -> tuple[int, bool]:
        """How many tokens of a row are the answer, and whether it ended by itself: at an end token or a stop string.

        What stands behind belongs to no answer: a row goes on until the last one of its batch has ended.
        """
        ends = [row.index(token) + 1 for token in token_ids(self.model.generation_config.eos_token_id) if token in row]
        tokens = min(ends, default=len(row))

        def stopped(length: int) -> bool:
            text = self.tok_decode(row[:length], skip_special_tokens=False)
            return any(word and word in text for word in stop)

        if not stopped(tokens):
            return tokens, bool(ends)
        return bisect.bisect_left(range(tokens), True, key=stopped), True
