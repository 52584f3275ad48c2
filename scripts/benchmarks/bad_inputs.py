"""Bad inputs, made from good ones by a seeded random choice: files, what stands in place of a file, and words.

    kind, content = damage(random, content, ".json")     another content: cut off, wrong types, deep, huge, no text
    kind = replace_file(random, path)                    a folder, a pipe, a device, a loop of links, nothing

Each has a name, so that what a command cannot take is counted by kind.
"""

import json
import os
import random as randoms
import shutil
import socket
from pathlib import Path
from typing import Any

import yaml

VALUES: dict[str, Any] = {
    "null": None, "true": True, "minus one": -1, "zero": 0, "1e308": 1e308, "-1e308": -1e308, "NaN": float("nan"),
    "infinity": float("inf"), "a number of 400 digits": 10**400, "2**63": 2**63, "empty text": "",
    "long text": "x" * 200_000,
    "list": [], "mapping": {}, "nested list": [[[]]], "half a surrogate": "\ud800",
    "NUL": "a\0b", "markup": "<b>&[x](y)`",
    "escape": "\x1b[31mred", "line separator": "a\u2028b", "parent folder": "../../x", "absolute": "/etc/passwd",
    "a float": 0.5, "a date": "2025-99-99", "a digit": "7", "e acute": "caf\u00e9", "a list of texts": ["a", "b"],
}  # fmt: skip
YAML_TEXTS = {
    "aliases that expand": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
    "an alias in itself": "name: &a [*a]\ntasks: *a\ngates: *a\ndatasets: *a\nbase_model: *a\n",
    "merges that expand": "a: &a {p: 1, q: 2, r: 3}\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{', '.join(['*' + chr(97 + n)] * 9)}]}}\n" for n in range(9)),
    "a Python object": "name: !!python/object/apply:os.system ['true']\n",
    "an impossible date": "created: 2024-99-99\n",
    "sexagesimal": "seed: 1:99:99\nlora_r: 0o17\n",
    "tabs": "tasks:\n\t- name: x\n",
    "a key that is a list": "? [a, b]\n: c\n",
    "a merge of a number": "<<: 3\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "binary": "name: !!binary zzzz=\n",
    "a set": "tasks: !!set {a, b}\ngates: !!omap [a: 1]\n",
}


def damage(random: randoms.Random, content: bytes, suffix: str) -> tuple[str, bytes]:
    """The name of a damage, and the damaged content."""
    ways = ["bytes"] * 2 + {".json": ["json"] * 5, ".jsonl": ["jsonl"] * 5, ".yaml": ["yaml"] * 5}.get(suffix, [])
    way = random.choice(ways)
    if way == "json":
        return _damage_json(random, content)
    if way == "jsonl":
        return _damage_line(random, content)
    if way == "yaml":
        return _damage_yaml(random, content)
    return _damage_bytes(random, content)


def _damage_bytes(random: randoms.Random, content: bytes) -> tuple[str, bytes]:
    place = random.randrange(len(content) + 1)
    deep = random.choice([b"[", b'{"a":', b"- ", b"("])
    made = {
        "empty": b"",
        "cut off": content[:place],
        "a NUL inside": content[:place] + b"\0" + content[place:],
        "a byte flipped": content[:place] + bytes([random.randrange(256)]) + content[place + 1 :],
        "byte order mark": b"\xef\xbb\xbf" + content,
        "UTF-16": content.decode("utf-8", "replace").encode("utf-16"),
        "Latin-1": content[:place] + b"caf\xe9" + content[place:],
        "noise": random.randbytes(3000),
        "twice": content + content,
        "deep": deep * 100_000,
        "one huge line": b'"' + b"x" * (3 << 20) + b'"\n',
        "many lines": b"{}\n" * 100_000,
        "a number": b"7\n",
        "null": b"null\n",
        "an empty list": b"[]\n",
        "an empty mapping": b"{}\n",
        "a text": b'"text"\n',
        "CRLF": content.replace(b"\n", b"\r\n"),
        "no last newline": content.rstrip(b"\n"),
        "reversed": content[::-1],
        "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01x\x94.",
        "a header of exabytes": (2**62).to_bytes(8, "little") + content[8:],
    }
    kind = random.choice(list(made))
    return kind, made[kind]


def _damage_json(random: randoms.Random, content: bytes) -> tuple[str, bytes]:
    kind, text = _damage_value(random, json.loads(content))
    return kind, text.encode("utf-8", "surrogatepass" if random.random() < 0.5 else "replace")


def _damage_line(random: randoms.Random, content: bytes) -> tuple[str, bytes]:
    lines = content.rstrip(b"\n").split(b"\n")
    place = random.randrange(len(lines))
    other = random.choice(["value", "value", "value", "value", "blank", "doubled", "gone", "cut"])
    if other == "value":
        kind, text = _damage_value(random, json.loads(lines[place]))
        lines[place] = text.encode("utf-8", "replace")
    else:
        kind = f"a line {other}"
        whole = lines[place]
        lines[place : place + 1] = {"blank": [b""], "doubled": [whole] * 2, "gone": [], "cut": [whole[:20]]}[other]
    return kind, b"\n".join(lines) + b"\n"


def _damage_yaml(random: randoms.Random, content: bytes) -> tuple[str, bytes]:
    if random.random() < 0.25:
        kind = random.choice(list(YAML_TEXTS))
        text = YAML_TEXTS[kind]
        return kind, (content + text.encode()) if random.random() < 0.5 else text.encode()
    kind, text = _damage_value(random, yaml.safe_load(content))
    return kind, text.encode("utf-8", "replace")


def _damage_value(random: randoms.Random, value: Any) -> tuple[str, str]:
    """JSON (which YAML is too) with one place of it changed."""
    holder, key = _place(random, value)
    if holder is None:
        return "another top", json.dumps(random.choice(list(VALUES.values())))
    what = random.random()
    if what < 0.1:
        del holder[key]
        return "a key is gone" if isinstance(holder, dict) else "an entry is gone", json.dumps(value)
    if what < 0.15 and isinstance(holder, dict):
        holder["unknown"] = 1
        return "an unknown key", json.dumps(value)
    if what < 0.2 and isinstance(holder, dict):
        mark = "@mark@"
        holder[mark] = 1
        return "a key given twice", json.dumps(value).replace(json.dumps(mark), json.dumps(key))
    kind = random.choice(list(VALUES))
    holder[key] = VALUES[kind]
    return f"{kind} for {_type(value)}", json.dumps(value)


def _place(random: randoms.Random, value: Any) -> tuple[Any, Any]:
    """A container somewhere inside, and a key of it."""
    holder, key = None, None
    while isinstance(value, dict | list) and value:
        holder, key = value, random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
        value = holder[key]
        if random.random() < 0.35:
            break
    return holder, key


def _type(value: Any) -> str:
    return "a value"


IN_PLACE = ("nothing", "a folder", "a pipe", "a socket", "a device", "a loop of links", "a dead link", "unreadable")


def replace_file(random: randoms.Random, path: Path) -> str:
    """Put something else in place of a file; returns what."""
    kind = random.choice(IN_PLACE)
    if kind == "unreadable":
        path.chmod(0)
        return kind
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        here = Path.cwd()
        os.chdir(path.parent)  # its address may have 107 bytes
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(here)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a loop of links":
        path.symlink_to(path.name)
    elif kind == "a dead link":
        path.symlink_to("nowhere")
    return kind


WORDS = {
    "empty": "", "blank": " ", "dot": ".", "parent": "../..", "root": "/", "newline": "a\nb", "accent": "caf\u00e9",
    "long": "x" * 5000, "long path": "/".join(["d" * 200] * 50), "dashes": "--", "option": "--help-me",
    "escape": "\x1b[31mred", "zero device": "/dev/zero", "memory": "/proc/self/mem", "pattern": "*", "a tab": "\t",
    "not UTF-8": "\udcff", "right to left": "\u202eexe",
    "markup": "[bold]x[/bold][", "percent": "%s%n{0}{}", "number": "1e308",
    "slash at the end": "name/", "double slash": "a//b", "tilde": "~nobody-here/x", "dollar": "$HOME", "quote": "it's",
}  # fmt: skip
