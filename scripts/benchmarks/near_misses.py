"""Near-misses: a gold command with one thing changed, as a model gets it almost right.

    python -m scripts.benchmarks.near_misses
        # JSON lines: {"kind", "edit", "row", "request", "gold", "candidate", "fixture"}

Kinds: number (5 -> 6), path (another folder of the same fixture), flag (-type f -> -type d), filter (a test or a
pipeline stage dropped, another pattern), tool (head -> tail). Only changes of meaning are generated. What merely
shows the same result with more or fewer columns (ls -l for ls, a dropped `cut -f1`, du -h for du) is the kind
`presentation`, kept apart: the benchmark's own positives call such pairs equal.
The generator does not know whether an edit matters on a given file system; scripts/benchmarks/judge.py runs it to see.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from eval.bash.parsing import normalise
from eval.common.errors import run_command
from eval.judge.pair import ORDER_ASKED
from eval.run.digests import text_sha256
from eval.tasks.intercode_alfa.rows import Row, load_rows

PER_KIND = 1  # edits of one kind kept for one gold, chosen by digest

FLAGS = [
    (r"-type f\b", "-type d"),
    (r"-type d\b", "-type f"),
    (r" -type f\b", ""),
    (r" -type d\b", ""),
    (r"-name (?=['\"*\w])", "-iname "),
    (r"-iname\b", "-name"),
    (r"(-[mac](?:time|min)) \+", r"\1 -"),
    (r"(-[mac](?:time|min)) -", r"\1 +"),
    (r"-mtime\b", "-mmin"),
    (r"-mmin\b", "-mtime"),
    (r"-atime\b", "-mtime"),
    (r"-amin\b", "-mmin"),
    (r"-size \+", "-size -"),
    (r"-size -", "-size +"),
    (r"(-size [+-]?\d+)c\b", r"\1k"),
    (r"(-size [+-]?\d+)k\b", r"\1c"),
    (r"(-size [+-]?\d+)M\b", r"\1k"),
    (r" -maxdepth \d+", ""),
    (r" -empty\b", " ! -empty"),
    (r" -empty\b", ""),
    (r" (?:!|-not) (-\w+)", r" \1"),
    (r" -o(?:r)? ", " "),
    (r"-perm (?=\d)", "-perm -"),
    (r"\bwc -l\b", "wc -w"),
    (r"\bwc -l\b", "wc -c"),
    (r"\bwc -w\b", "wc -l"),
    (r"\buniq -d\b", "uniq -u"),
    (r"\buniq -c\b", "uniq -d"),
    (r"\buniq -i -d\b", "uniq -d"),
    (r"\bsort -u\b", "sort"),
    (r"\bgrep -(\w*)i(\w*)\b", r"grep -\1\2"),
    (r"\bgrep -v\b", "grep"),
    (r"\bgrep (?=['\"\w])", "grep -v "),
    (r"\bgrep (?=['\"\w])", "grep -i "),
    (r"\bgrep (?=['\"\w])", "grep -w "),
    (r"\bgrep -(\w*)l", r"grep -\1L"),
    (r"\bgrep -(\w*)w", r"grep -\1"),
    (r"\bgrep -(\w*)r", r"grep -\1"),
    (r"\bls -a\b", "ls"),
    (r"\bls -A\b", "ls"),
    (r"\bbase64 -d\b", "base64"),
    (r"\bmkdir -p\b", "mkdir"),
    (r"\bln -s\b", "ln"),
    (r"\bcp -[rR]\b", "cp"),
    (r"\btar (-?)c", r"tar \1t"),
    (r"\btr -cd\b", "tr -d"),
    (r"\bcomm -23\b", "comm -13"),
    (r"\bgzip -k\b", "gzip"),
    (r"/g(?=['\"])", "/"),
    (r"\bdu -s", "du -"),
    (r"\bod -t c\b", "od -t x1"),
    (r"\btee -a\b", "tee"),
    (r">>", ">"),
]
ORDER_FLAGS = [
    (r"\bsort -r\b", "sort"),
    (r"\bsort -(\w*)r(\w*)", r"sort -\1\2"),
    (r"\bsort -n\b", "sort"),
    (r"\bsort(?= \||$)", "sort -r"),
    (r"\bsort -n\b", "sort -nr"),
    (r"\bsort\b", "uniq"),
]
TOOLS = [
    (r"\bhead\b", "tail"),
    (r"\btail\b", "head"),
    (r"\bmd5sum\b", "sha1sum"),
    (r"\bsha512sum\b", "sha256sum"),
    (r"\bcp\b", "mv"),
    (r"\bmv\b", "cp"),
    (r"\brm\b", "touch"),
    (r"-delete\b", "-print"),
    (r"\brmdir\b", "mkdir"),
    (r"\bmkdir\b", "touch"),
    (r"\btouch\b", "rm -f"),
    (r"\bdirname\b", "basename"),
    (r"\bbasename\b", "dirname"),
    (r"\btac\b", "cat"),
    (r"\brev\b", "tac"),
    (r"\bzcat\b", "cat"),
    (r"\bgzip\b", "bzip2"),
    (r"\bgunzip\b", "gzip"),
    (r"\bgrep\b", "grep -c"),
    (r"\bcat\b(?! [<>])", "wc"),
    (r"\buniq\b", "sort"),
    (r"\bfind\b", "du"),
    (r"\bwhoami\b", "hostname"),
    (r"\bpwd\b", "ls"),
    (r"\bdiff\b", "comm"),
    (r"\bpaste\b", "cat"),
    (r"\bfold\b", "cut"),
    (r"\btree\b", "ls"),
    (r"\bcut\b", "colrm"),
    (r"&&", "||"),
    (r"\|\|", "&&"),
    (r"(?<=\d) <= (?=\d)|(?<=[\w)]) < (?=\d)", " > "),
    (r"(?<=[\w)]) > (?=\d)", " < "),
]
PRESENTATION = [
    (r"\bls\b(?! -)", "ls -l"),
    (r"\bls -l\b", "ls"),
    (r"\bdu\b(?! -\w*h)", "du -h"),
    (r"\bwc -l\b", "wc"),
    (r"\bmd5sum\b(.*)\| awk '\{print \$1\}'", r"md5sum\1"),
    (r" \| cut -\S+ \S+$", ""),
    (r" \| cut -\S+$", ""),
    (r" \| awk '\{ ?print \$\d ?\}'$", ""),
    (r"\bgrep -n\b", "grep"),
    (r"\bgrep (?=['\"])", "grep -n "),
]
PROJECTING = re.compile(
    r"(cut\b|awk (-F\S+ )?'\{ ?print \$|column|nl\b|rev\b|xargs -I\{\} basename|sort\b(?! -u)|sed 's)"
)
# A number as its own word, after an option's letter, or a field of awk; never part of a name or a version.
NUMBER = re.compile(
    r"(?<![\w.#*:/\\-])(?<!\$)(\d+)(?![\w:*./-])|(?<=[-+=cfn ])(\d+)(?=[pckMG,'\" ]|$)|(?<=\$)(\d)(?=\D)"
)
PATTERN = re.compile(r"(?<=-name )(['\"]?)(\*?[\w.*\[\]-]+)\1")
PATH = re.compile(r"(?<![\w.*=-])/(?:testbed|system|workspace|backup)[\w./-]*")


@dataclass(frozen=True)
class NearMiss:
    """One edited gold. `row` is the number of the benchmark's row, 0 to 299."""

    kind: str
    edit: str
    row: int
    request: str
    gold: str
    candidate: str
    fixture: str


def near_misses(rows: list[Row]) -> list[NearMiss]:
    """All kept edits of all golds, in order of rows. The same rows give the same list."""
    paths: dict[str, list[str]] = {}
    for row in rows:
        known = paths.setdefault(row.fixture, [])
        known += [path for path in PATH.findall(row.gold) if path not in known]
    found = []
    for row in rows:
        by_kind: dict[str, list[tuple[str, str]]] = {}
        seen = {normalise(row.gold)}
        for kind, edit, candidate in edits(row, paths[row.fixture]):
            form = normalise(candidate)
            if form is not None and form not in seen:
                seen.add(form)
                by_kind.setdefault(kind, []).append((edit, candidate))
        for kind, options in sorted(by_kind.items()):
            options.sort(key=lambda option: text_sha256(row.gold + option[1]))
            found += [
                NearMiss(kind, edit, row.number, row.request, row.gold, candidate, row.fixture)
                for edit, candidate in options[:PER_KIND]
            ]
    return found


def edits(row: Row, paths: list[str]) -> Iterator[tuple[str, str, str]]:
    """Every edit of one gold: kind, what was done, the edited command."""
    gold = row.gold
    yield from numbers(gold)
    yield from other_paths(gold, paths)
    yield from substitutions("flag", gold, FLAGS)
    if ORDER_ASKED.search(row.request):
        yield from substitutions("flag", gold, ORDER_FLAGS)
    yield from dropped_stages(gold, bool(ORDER_ASKED.search(row.request)))
    yield from other_patterns(gold)
    yield from substitutions("tool", gold, TOOLS)
    yield from substitutions("presentation", gold, PRESENTATION)


def numbers(gold: str) -> Iterator[tuple[str, str, str]]:
    for match in NUMBER.finditer(gold):
        value = int(match.group(0))
        if len(match.group(0)) == 3 and "chmod" in gold[: match.start()]:
            changed = ["644", "700"] if value == 755 else ["755", "600"]
        else:
            changed = [str(value + 1), *([str(value - 1)] if value > 1 else []), str(value * 3)]
        for new in changed:
            yield "number", f"{value} -> {new}", gold[: match.start()] + new + gold[match.end() :]


def other_paths(gold: str, paths: list[str]) -> Iterator[tuple[str, str, str]]:
    for match in PATH.finditer(gold):
        old = match.group(0)
        parent = old.rstrip("/").rsplit("/", 1)[0]
        others = [path for path in paths if path.rstrip("/") != old.rstrip("/")]
        near = [path for path in others if path.startswith(parent + "/") or path == parent]
        near.sort(key=lambda path: text_sha256(gold + path))
        for new in near[:2]:
            yield "path", f"{old} -> {new}", gold[: match.start()] + new + gold[match.end() :]


def substitutions(kind: str, gold: str, table: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    for pattern, new in table:
        if match := re.search(pattern, gold):
            replaced = match.expand(new)
            candidate = gold[: match.start()] + replaced + gold[match.end() :]
            candidate = re.sub(r" -(?= |$)", "", candidate)  # a flag emptied of its last letter
            yield kind, f"{match.group(0).strip()} -> {replaced.strip()}", candidate


def dropped_stages(gold: str, ordered: bool) -> Iterator[tuple[str, str, str]]:
    """A pipeline without one of its later stages; those that only choose columns or sort are presentation."""
    stages = top_level_stages(gold)
    for index in range(1, len(stages)):
        stage = stages[index].strip()
        shows_only = PROJECTING.match(stage) is not None and not (ordered and stage.startswith("sort"))
        candidate = " | ".join(part.strip() for part in stages[:index] + stages[index + 1 :])
        yield "presentation" if shows_only else "filter", f"without | {stage}", candidate
    for match in re.finditer(r" -(?:i?name|path|perm|size|mtime|mmin|atime|amin|cmin) \S+", gold):
        if "(" not in gold and " -o" not in gold:
            yield "filter", f"without{match.group(0)}", gold[: match.start()] + gold[match.end() :]


def top_level_stages(gold: str) -> list[str]:
    """Split at `|` outside quotes, brackets and substitutions; `||` is not one."""
    stages, depth, quote, start, index = [], 0, "", 0, 0
    while index < len(gold):
        letter = gold[index]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        elif letter in "({":
            depth += 1
        elif letter in ")}":
            depth -= 1
        elif gold.startswith("||", index):
            index += 1
        elif letter == "|" and depth == 0:
            stages.append(gold[start:index])
            start = index + 1
        index += 1
    return [*stages, gold[start:]]


def other_patterns(gold: str) -> Iterator[tuple[str, str, str]]:
    for match in PATTERN.finditer(gold):
        quote, old = match.groups()
        for new in ("*.txt", "*.sh", "*1*"):
            if new != old:
                text = f"{quote or chr(39)}{new}{quote or chr(39)}"
                yield "filter", f"{old} -> {new}", gold[: match.start()] + text + gold[match.end() :]
    for match in re.finditer(r"grep (?:-\w+ )*(['\"]?)([A-Za-z]\w+)\1", gold):
        old = match.group(2)
        changes: list[Callable[[str], str]] = [str.swapcase, lambda word: word[:-1], lambda word: word + "s"]
        for change in changes:
            new = change(old)
            yield "filter", f"{old} -> {new}", gold[: match.start(2)] + new + gold[match.end(2) :]


def main() -> None:
    for miss in near_misses(load_rows()):
        sys.stdout.write(json.dumps(asdict(miss), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run_command(main)
