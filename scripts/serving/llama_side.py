"""What llama.cpp's code does for `make serve-check FORM=gguf`, each in a process of its own (gguf.py starts them).

    PYTHON llama_side.py convert CONVERTER MODEL TARGET      a Hugging Face folder as a 16-bit GGUF file
    PYTHON llama_side.py convert CONVERTER MODEL TARGET gpt-2          the same, its tokenizer splits as GPT-2's
    PYTHON llama_side.py quantise SOURCE TARGET q4_k_m       that, quantised
    PYTHON llama_side.py read FILE < chats.json              {"prompts": [[token, ...], ...], "ends": [token, ...]}

Nothing of this repository is imported: another Python runs it, without our packages.

The converter knows a tokenizer by a digest of what it makes of one text, and so those of published models alone. Two
things are told to it of one that splits texts as GPT-2's does (`ByteLevel`, with nothing before it): it is no
SentencePiece, even where it says byte_fallback (transformers says so of what it made of a GGUF file), and its name is
gpt-2. Whether that is true `read` finds out: the tokens of real prompts have to be ours.
"""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

CONTEXT = 4096  # tokens; prompts that are read here are short


class Prompt(Exception):
    """Ends a chat where its prompt is known."""


def convert(converter: str, model: str, target: str, splits: str = "") -> None:
    """Run llama.cpp's converter on a folder. NotImplementedError for a model or tokenizer that it does not know."""
    sys.path.insert(0, str(Path(converter).parent))
    sys.path.insert(1, str(Path(converter).parent / "gguf-py"))
    if splits:
        from conversion.base import TextModel

        known = TextModel.get_vocab_base_pre

        def named(self: Any, tokenizer: Any) -> str:
            try:
                return str(known(self, tokenizer))
            except NotImplementedError:
                return splits

        def no_sentencepiece(self: Any) -> None:
            raise TypeError("splits bytes as GPT-2 does")  # upon which the converter takes it as such

        TextModel.get_vocab_base_pre = named
        TextModel._set_vocab_llama_hf = no_sentencepiece
    sys.argv = [converter, model, "--outfile", target, "--outtype", "f16"]
    runpy.run_path(converter, run_name="__main__")


def quantise(source: str, target: str, kind: str) -> None:
    """Quantise a GGUF file. RuntimeError where llama.cpp cannot."""
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    if code := llama_cpp.llama_model_quantize(source.encode(), target.encode(), settings):
        raise RuntimeError(f"llama.cpp cannot quantise to {kind}: code {code}")


def read(file: str, chats: list[list[dict[str, str]]]) -> dict[str, Any]:
    """Which tokens the model is asked for each chat, by the path that serves one; which tokens end an answer."""
    import llama_cpp

    model = llama_cpp.Llama(file, n_ctx=CONTEXT, verbose=False)

    def asked(prompt: Any, **_: Any) -> None:
        raise Prompt([int(token) for token in prompt])

    model.create_completion = asked
    prompts = []
    for chat in chats:
        try:
            model.create_chat_completion(chat, max_tokens=1)
        except Prompt as found:
            prompts.append(found.args[0])
    vocabulary = model._model.vocab
    ends = [token for token in range(model.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocabulary, token)]
    return {"prompts": prompts, "ends": ends}


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "convert":
        convert(*given)
    elif what == "quantise":
        quantise(*given)
    else:
        print(json.dumps(read(given[0], json.load(sys.stdin))))
