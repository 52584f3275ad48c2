"""Answers as they arrive: generations.partial.jsonl, appended a batch at a time and resumed after a kill.

The first line is a key: the digest of everything that decides an answer (weights, prompts, settings,
library versions). Answers under another key are never reused.
"""

import json
import os
from pathlib import Path

from pydantic import ValidationError

from eval.records import Generation, write_jsonl

FINAL, PARTIAL = "generations.jsonl", "generations.partial.jsonl"


class GenerationLog:
    """The answers of one run under one key."""

    def __init__(self, run: Path, key: str) -> None:
        self.run, self.key = run, key
        self.partial = run / PARTIAL
        self.answers: dict[tuple[str, str, str], Generation] = {}
        for generation in self._recover():
            self.answers[generation.arm, generation.task, generation.sample] = generation
        self._rewrite()

    def _recover(self) -> list[Generation]:
        """Whole lines of an earlier process under the same key; a torn last line is dropped."""
        if not self.partial.is_file():
            return []
        head, *lines = self.partial.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] or [""]
        if head != json.dumps({"key": self.key}):
            return []
        found = []
        for line in lines:
            try:
                found.append(Generation.model_validate_json(line))
            except ValidationError:
                break
        return found

    def _rewrite(self) -> None:
        with self.partial.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": self.key}) + "\n")
            stream.writelines(answer.model_dump_json() + "\n" for answer in self.answers.values())

    def add(self, generations: list[Generation]) -> None:
        """Append a finished batch and force it to disk."""
        with self.partial.open("a", encoding="utf-8") as stream:
            stream.writelines(generation.model_dump_json() + "\n" for generation in generations)
            stream.flush()
            os.fsync(stream.fileno())
        for generation in generations:
            self.answers[generation.arm, generation.task, generation.sample] = generation

    def finish(self, order: list[tuple[str, str, str]]) -> list[Generation]:
        """Write generations.jsonl whole, in the given order of (arm, task, sample); returns it."""
        generations = [self.answers[key] for key in order]
        write_jsonl(self.run / FINAL, generations)
        return generations
