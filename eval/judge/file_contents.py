"""What the files of a perturbed copy hold: texts of the same kind with other lines, and files made from their name.

Every choice comes from the generator given, so that a copy is the same each time.
"""

import csv
import gzip
import io
import json
import random
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal

from eval.judge.hints import Hints
from eval.run.digests import text_sha256

SAMPLES = ("alpha", "beta", "gamma", "delta")


def chooser(seed: str, name: str) -> random.Random:
    return random.Random(int(text_sha256(f"{seed}\0{name}")[:16], 16))


def altered(text: str, suffix: str, hints: Hints, rng: random.Random) -> str:
    """A text of the same kind with other lines: JSON stays JSON, a table keeps its columns, a script its first line."""
    if suffix == ".json":
        try:
            return json.dumps(other_values(json.loads(text), rng), indent=2) + "\n"
        except ValueError:
            pass
    lines = text.splitlines()
    if is_table(lines):
        rows = [other_digits(rng.choice(lines), rng) for _ in range(3 + rng.randrange(4))]
        rows += at_bounds(lines, hints, rng)
        rows += [other_digits(rng.choice(lines), rng) for _ in range(enough(hints, rng) - len(lines) - len(rows))]
        return "\n".join([*lines, *rows]) + "\n"
    body = list(lines)
    keep = 1 if lines[0].startswith("#!") else 0

    def insert(line: str) -> None:
        body.insert(rng.randint(keep, len(body)), line)

    for _ in range(2 + rng.randrange(3)):
        insert(rng.choice(lines))  # repeated, mostly not next to each other
    insert(rng.choice(lines).swapcase())
    insert(other_digits(rng.choice(lines), rng))
    for line in at_bounds(lines, hints, rng):
        insert(line)
    for word in hints.words[:5]:
        if rng.random() < 0.7:
            forms = (word, f"see {word} there", f"{word} and {word} again", word.swapcase(), f"pre{word}post")
            for form in rng.sample(forms, 3):
                insert(form)
    position = rng.randint(keep, len(body))
    body[position:position] = [rng.choice(lines)] * 2  # next to each other
    insert("")
    insert("\t" + rng.choice(lines) + "  ")
    insert(" ".join(SAMPLES) * 4)
    wanted = enough(hints, rng)
    while len(body) < wanted:
        body.append(f"{rng.choice(SAMPLES)} {rng.randrange(1000)} {rng.choice(lines).strip()[:40]}")
    if not body[-1].strip() or body[-1].split()[-1] in (body[keep].split() or [""])[-1:]:
        body.append(f"{rng.choice(SAMPLES)} {rng.randrange(1000)}")  # the first line and the last end differently
    return "\n".join(body) + "\n"


def enough(hints: Hints, rng: random.Random) -> int:
    """More lines than the numbers of the gold: head -n 12 and head -n 13 are to differ."""
    return max([n for n in hints.numbers if n <= 120], default=0) + 4 + rng.randrange(4)


def at_bounds(lines: list[str], hints: Hints, rng: random.Random) -> list[str]:
    """Lines whose numbers are those that the gold compares with, one less and one more; none without such lines."""
    numbered = [line for line in lines if re.search(r"\d", line)]
    values = [value for bound in hints.bounds for value in (bound - 1, bound, bound + 1) if value >= 0]
    return [re.sub(r"\d+", str(value), rng.choice(numbered)) for value in values] if numbered else []


def other_values(value: Any, rng: random.Random) -> Any:
    """The same JSON structure with other strings and numbers; a list gets one more item."""
    if isinstance(value, dict):
        return {key: other_values(item, rng) for key, item in value.items()}
    if isinstance(value, list):
        items = [other_values(item, rng) for item in value]
        return [*items, items[0]] if items else items
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value + rng.randint(1, 50)
    return other_digits(str(value), rng) + rng.choice(SAMPLES)


def is_table(lines: list[str]) -> bool:
    """At least two lines with the same number, not zero, of commas, tabs or colons."""
    filled = [line for line in lines if line.strip()]
    return len(filled) > 1 and any(
        filled[0].count(mark) > 0 and len({line.count(mark) for line in filled}) == 1 for mark in ",\t:"
    )


def other_digits(text: str, rng: random.Random) -> str:
    return re.sub(r"\d", lambda _: str(rng.randrange(10)), text)


def sample_text(hints: Hints, rng: random.Random) -> str:
    lines = [f"{rng.choice(SAMPLES)} {rng.randrange(100)} {rng.choice(SAMPLES)}" for _ in range(3 + rng.randrange(9))]
    return altered("\n".join(lines) + "\n", "", hints, rng)


def write_operand(path: Path, hints: Hints, rng: random.Random) -> None:
    """A file of the kind its name says, with members or rows where the kind has them."""
    text = sample_text(hints, rng)
    name = path.name.lower()
    if re.search(r"\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", name):
        with tarfile.open(path, compression(name)) as archive:
            for member in ("member/one.txt", "member/two.log"):
                data = sample_text(hints, rng).encode()
                entry = tarfile.TarInfo(member)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    elif name.endswith((".zip", ".jar")):
        with zipfile.ZipFile(path, "w") as archive_zip:
            for member in ("one.txt", "two.log"):
                archive_zip.writestr(zipfile.ZipInfo(member), sample_text(hints, rng))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    elif name.endswith(".json"):
        path.write_text(json.dumps({"name": "alpha", "items": [{"id": 1}, {"id": 2}], "size": 42}, indent=2) + "\n")
    elif name.endswith((".csv", ".tsv")):
        out = io.StringIO()
        writer = csv.writer(out, delimiter="\t" if name.endswith("tsv") else ",", lineterminator="\n")
        writer.writerows([["name", "count", "city"], *([s, rng.randrange(90), s[::-1]] for s in SAMPLES)])
        path.write_text(out.getvalue())
    else:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if name.endswith((".sh", ".py")) else 0o644)


def compression(name: str) -> Literal["w:", "w:gz", "w:bz2", "w:xz"]:
    """Mode of tarfile.open for an archive's name."""
    if name.endswith("gz"):
        return "w:gz"
    return "w:bz2" if "bz" in name else "w:xz" if "xz" in name else "w:"
