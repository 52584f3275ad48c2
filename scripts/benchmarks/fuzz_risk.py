"""Random and mutated inputs to the command-risk analyser: no crash, and none over the time limit.

    python -m scripts.benchmarks.fuzz_risk [--inputs 1000000] [--nl2bash FOLDER]      (make fuzz-risk)

Mutations start from the development commands, and from NL2Bash where its folder is given. Exit code 1 when an input
took longer than the limit; a crash is a traceback.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from eval.common.errors import run_command
from eval.common.reading import read_bytes, read_text
from eval.risk import analyse

CORPUS = Path("tests/data/risk/development.jsonl")
FUZZ_SECONDS = 0.05
PIECES = [
    *"abcAZ019 \t\n;|&<>(){}[]$`'\"\\!#*?~=+-/:,.%@^_", "<<", "<<<", "<<-", "$(", "$((", "${", "))", "((", "[[", "]]",
    "if ", "then ", "fi\n", "do ", "done ", "for x in ", "case ", "esac ", "while ", "function f ", "f() {", "<<EOF\n",
    "\nEOF\n", "$'", "\\x41", "2>&1", ">|", "@(", "!(", "${x:-", "${x%", "$x", "\"$@\"", "x=", "eval ", "sudo ",
    "bash -c ",
    "| sh", "| base64 -d", "xargs ", "find / ", "-exec ", "{} \\;", "-delete ", "rm -rf ", "/etc/", "~", "/dev/sda",
    "{1..9}", "a[$(", "]=1", "${x@P}", "${x#", "declare -n ", "declare -i ", "printf -v ", "mapfile -C ", "read ",
    "let ", "exec 3<", ">(", "<(", "<&3", "2>&-", "coproc ", "shift; ", "trap '", "PATH=", "PAGER=", "IFS=", "+=(",
    "\\\n",
    "test -v ", "python3 <<",
    "{a,b}", "awk '", "sed '", "python -c '", "echo ", "printf '%s' ", "curl ", "\0", "\u202e", "é", "中",
    "\U0001f600", "\x1b",
]  # fmt: skip


def worst_texts() -> list[str]:
    """Texts of 10,240 characters that repeat one piece: the hardest inputs known for parser and walk."""
    seeds = [
        *PIECES, "$[1", "a=(", "a|", "))", "== ", "[[ a =~ (", "a=$a$a;", "echo YQ==|base64 -d|",
        "rm -rf x;", "find . -exec ",
        "a&&b||c;", "a& ", "f() { f; };f;", "{a,b}{1..9} ", "`\\`", "${x:-`a`} ", "a >b ", "cat <<E\n`a`\nE\n",
    ]  # fmt: skip
    variables = "".join(f"v{number}=1;" for number in range(500))
    whole = [
        variables + "a|b;" * 2000, variables + "if a; then b; fi;" * 500, variables + ": $(a);" * 1000,
        "x=" + "a" * 60 + ";" + "echo ${x%%*a*a*a*b};" * 400, "rm -rf " + "/a*/b " * 1500, "cat " + "/e*/s* " * 1300,
        "awk '" + 'system("a");' * 150 + "'",
        "sed '" + "s/a/b/e;" * 1200 + "'", "python -c '" + 'system("a");' * 800 + "'",
        "".join(f"f{number}() {{ f{number + 1}; f{number + 1}; }};" for number in range(200)) + "f0",
    ]  # fmt: skip
    return [(seed * 10_240)[:10_240] for seed in seeds] + [text[:10_240] for text in whole]


def inputs(count: int, seed: int, corpus: Sequence[str]) -> Iterable[str]:
    """Random texts: pieces strewn, commands cut, joined and spliced. The same seed gives the same texts."""
    chance = random.Random(seed)
    for _ in range(count):
        kind = chance.random()
        if kind < 0.35 or not corpus:
            yield "".join(chance.choices(PIECES, k=chance.randint(1, 40)))
            continue
        text = chance.choice(corpus)
        for _ in range(chance.randint(1, 4)):
            at = chance.randint(0, len(text))
            change = chance.random()
            if change < 0.4:
                text = text[:at] + chance.choice(PIECES) + text[at:]
            elif change < 0.6:
                text = text[:at] + text[at + chance.randint(1, 5) :]
            elif change < 0.8:
                other = chance.choice(corpus)
                text = text[:at] + other[chance.randint(0, len(other)) :]
            else:
                text = chance.choice(
                    ["bash -c '{}'", "sudo {}", "echo $({})", "f() {{ {}; }}; f", "{} | sh", '"{}"']
                ).format(text)
        yield text


def fuzz(count: int, seed: int, corpus: Sequence[str]) -> dict[str, Any]:
    """Analyse `count` random inputs. Any exception ends the run with its traceback: that is a bug."""
    verdicts: Counter[str] = Counter()
    analyse("ls")  # loads the effect table
    slowest, slow_text, start = 0.0, "", perf_counter()
    for number, text in enumerate(inputs(count, seed, corpus), start=1):
        before = thread_time()
        verdicts[analyse(text).verdict] += 1
        took = thread_time() - before
        for _ in range(3 if took > FUZZ_SECONDS / 5 else 0):  # a pause of the machine is not the analyser's
            before = thread_time()
            analyse(text)
            took = min(took, thread_time() - before)
        if took > slowest:
            slowest, slow_text = took, text
        if number % 100_000 == 0:
            print(
                f"fuzz: {number:,} inputs, slowest {slowest * 1e3:.1f} ms, {perf_counter() - start:.0f} s",
                file=sys.stderr,
            )
    return {
        "inputs": count,
        "seed": seed,
        "verdicts": dict(verdicts),
        "slowest_ms": slowest * 1e3,
        "slowest": slow_text[:200],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.fuzz_risk", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--nl2bash", type=Path, help="folder with NL2Bash's all.cm, more to mutate")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    corpus = [json.loads(line)["command"] for line in read_bytes(CORPUS).splitlines() if line.strip()]
    if given.nl2bash:
        corpus += [line for line in read_text(given.nl2bash / "all.cm").split("\n") if line.strip()]
    found = fuzz(given.inputs, given.seed, corpus)
    print(json.dumps(found, indent=1))
    return 0 if found["slowest_ms"] < FUZZ_SECONDS * 1e3 else 1


if __name__ == "__main__":
    run_command(main)
