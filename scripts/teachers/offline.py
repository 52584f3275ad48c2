"""Teachers that need no network: the training side of a grammar, templates, and a model of this machine.

The first two give rows that somebody wrote: their reply is the text that a model would give, and is read in the same
way. Templates are a YAML list; `$name` is a slot, and `values` lists what may stand there:

    - request: ["Write add_$n(x) that adds $n to x.", "I need add_$n(x): x plus $n."]
      answer: "def add_$n(x):\n    return x + $n\n"
      values: {n: [2, 3, 10]}
"""

import json
import random
import threading
from collections.abc import Callable
from string import Template
from typing import Any

from eval.common.errors import UserError
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.common.strict_yaml import BrokenYaml, parse_yaml
from eval.run.base_files import base_identity
from eval.run.digests import file_sha256, folder_digests, json_sha256
from scripts.data.build_data import draw
from scripts.data.grammar import fill, load_grammar
from scripts.teachers.asking import Question, Said, Teacher, model_facts
from scripts.teachers.settings import GrammarTeacher, LocalTeacher, TemplateTeacher


class Grammar:
    """Draws shapes, phrasings and values of the training side: nothing that a test set holds."""

    concurrency = 1

    def __init__(self, settings: GrammarTeacher) -> None:
        self.settings, folder = settings, ROOT / settings.folder
        grammar = load_grammar(folder)
        self.pools, self.shapes = grammar.pools, [shape for shape in grammar.shapes if shape.split == "known"]
        files = folder_digests(folder / "grammar") | {"values.yaml": file_sha256(folder / "values.yaml")}
        self.revision = json_sha256(files)

    def facts(self) -> dict[str, Any]:
        folder = self.settings.folder.as_posix()
        return {"name": self.settings.name, "kind": "grammar", "model": folder, "revision": self.revision}

    def answer(self, question: Question) -> Said:
        rng = random.Random(f"{question.seed}/{question.number}")
        rows = []
        for shape in rng.choices(self.shapes, k=question.rows):
            values = draw(shape, self.pools, "train", rng)
            rows.append({"request": fill(rng.choice(shape.train), values), "answer": fill(shape.command, values)})
        return Said("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))

    def close(self) -> None:
        return


class Templates:
    """Draws an entry, one of its requests, and a value for each slot."""

    concurrency = 1

    def __init__(self, settings: TemplateTeacher) -> None:
        self.settings, path = settings, ROOT / settings.file
        problem = ""
        try:
            self.entries = parse_yaml(read_text(path))
        except FileNotFoundError:
            problem = "is missing"
        except BrokenYaml as error:
            problem = str(error)
        else:
            usual = isinstance(self.entries, list) and self.entries and all(map(is_template, self.entries))
            problem = "" if usual else "has to be a list of entries with `request` (a list), `answer` and `values`"
        if problem:
            raise UserError(f"teacher {settings.name}: {settings.file}: {problem}")
        self.revision = file_sha256(path)

    def facts(self) -> dict[str, Any]:
        file = self.settings.file.as_posix()
        return {"name": self.settings.name, "kind": "templates", "model": file, "revision": self.revision}

    def answer(self, question: Question) -> Said:
        rng = random.Random(f"{question.seed}/{question.number}")
        rows = [filled(rng.choice(self.entries), rng) for _ in range(question.rows)]
        return Said("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))

    def close(self) -> None:
        return


def is_template(entry: Any) -> bool:
    """Whether an entry of a file of templates has what a row is made of."""
    if not isinstance(entry, dict) or not isinstance(entry.get("answer"), str):
        return False
    requests, values = entry.get("request"), entry.get("values", {})
    if not isinstance(requests, list) or not isinstance(values, dict):
        return False
    return all(isinstance(one, list) and one for one in (requests, *values.values())) and all(
        isinstance(one, str) for one in requests
    )


def filled(entry: dict[str, Any], rng: random.Random) -> dict[str, str]:
    """One row of a template."""
    values = {name: str(rng.choice(choices)) for name, choices in entry.get("values", {}).items()}
    request = Template(rng.choice(entry["request"])).safe_substitute(values)
    return {"request": request, "answer": Template(entry["answer"]).safe_substitute(values).strip()}


class Local:
    """A model of this machine, through transformers; its files' digests are its revision."""

    concurrency = 1

    def __init__(self, settings: LocalTeacher) -> None:
        from eval.model.adapters_on_base import readable
        from eval.run.environment import silence_libraries

        silence_libraries()
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.settings, self.torch = settings, torch
        with readable(f"model {settings.model} of teacher {settings.name}"):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(settings.model, revision=settings.revision)
            model: Any = AutoModelForCausalLM.from_pretrained(settings.model, revision=settings.revision, dtype="auto")
        if self.tokenizer.chat_template is None:
            raise UserError(f"teacher {settings.name}: {settings.model} has no chat template: take an instruct model")
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        identity = base_identity(settings.model, settings.revision, getattr(model.config, "_commit_hash", None))
        self.revision = settings.revision if identity is None else json_sha256(identity)
        self.closed = threading.Event()

    def facts(self) -> dict[str, Any]:
        return model_facts(self.settings) | {"revision": self.revision}

    def answer(self, question: Question) -> Said:
        from transformers import StoppingCriteriaList

        torch, sampling = self.torch, self.settings.sampling
        torch.manual_seed(question.seed)
        tokens = self.tokenizer.apply_chat_template(
            [dict(turn) for turn in question.messages],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        ).to(self.model.device)
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p} if sampling.temperature else {}
        with torch.inference_mode():
            made = self.model.generate(
                **tokens, do_sample=bool(sampling.temperature), max_new_tokens=sampling.max_tokens, **drawn,
                pad_token_id=self.tokenizer.eos_token_id, stopping_criteria=StoppingCriteriaList([self._closed]),
            )  # fmt: skip
        asked = int(tokens["input_ids"].shape[1])
        new = made[0][asked:]
        text: str = self.tokenizer.decode(new, skip_special_tokens=True)
        return Said(text, "length" if len(new) >= sampling.max_tokens else "stop", len(new), asked)

    def _closed(self, ids: Any, scores: Any, **_: Any) -> Any:
        return self.torch.full((ids.shape[0],), self.closed.is_set(), device=ids.device, dtype=self.torch.bool)

    def close(self) -> None:
        self.closed.set()


def open_teacher(settings: LocalTeacher | GrammarTeacher | TemplateTeacher) -> Teacher:
    """UserError where the model or the grammar cannot be read."""
    opened: dict[str, Callable[[Any], Teacher]] = {"local": Local, "grammar": Grammar, "templates": Templates}
    return opened[settings.kind](settings)
