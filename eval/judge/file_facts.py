"""Descriptions of files: `ls -l`, `find -ls`, `stat` and `stat -t` state facts by name or by place, one file each.

Read into the facts they state, they can be compared whatever their layout: over several lines or in one, a mode in
letters or in hexadecimal digits, an owner by name or by number.
"""

import posixpath
import re
import stat

from eval.judge.forms import same_size
from eval.judge.instants import same_instant, with_instants

Facts = dict[str, str]

TIME = r"<time:\d+\+\d+>"
LONG = re.compile(
    r"\s*(?:(?P<inode>\d+)\s+)?(?:(?P<blocks>[\d.]+[KMG]?)\s+)?(?P<mode>[bcdlps-][rwxsStT-]{9})[.+]?\s+(?P<links>\d+)\s+"
    rf"(?P<user>\S+)\s+(?P<group>\S+)\s+(?P<size>[\d.]+[KMG]?)\s+(?P<modified>{TIME})\s+(?P<path>.+?)(?: -> .*)?"
)
FULL = re.compile(
    r"^[^\S\n]*File: (?P<path>(?:(?! -> ).)+)(?: -> .*)?\n"
    r"\s*Size: (?P<size>\d+)\s+Blocks: (?P<half_blocks>\d+).*\n"
    r"Device:.*Inode: (?P<inode>\d+)\s+Links: (?P<links>\d+).*\n"
    r"Access: \(\d+/(?P<mode>\S+)\)\s+Uid: \(\s*(?P<uid>\d+)/\s*(?P<user>\S+)\)\s+"
    r"Gid: \(\s*(?P<gid>\d+)/\s*(?P<group>\S+)\)\n"
    rf"Access: (?P<accessed>{TIME}).*\nModify: (?P<modified>{TIME}).*\nChange: (?P<changed>{TIME}).*"
    r"(?:\n\s*Birth: .*)?",
    re.MULTILINE,
)
TERSE = re.compile(
    r"(?P<path>.+) (?P<size>\d+) (?P<half_blocks>\d+) (?P<raw>[0-9a-f]{4}) (?P<uid>\d+) (?P<gid>\d+) [0-9a-f]+ "
    rf"(?P<inode>\d+) (?P<links>\d+) [0-9a-f]+ [0-9a-f]+ (?P<accessed>{TIME}) (?P<modified>{TIME}) "
    rf"(?P<changed>{TIME}) \S+ \d+"
)
ALWAYS = frozenset(("path", "size", "mode", "links", "modified"))
# What a listing may state beside that and nobody asks for by asking for a file.
BESIDE = frozenset(("inode", "blocks", "half_blocks", "user", "group", "uid", "gid"))


def file_facts(text: str, cwd: str) -> list[Facts]:
    """The files that a text describes, in order; empty where any line describes none. A `total` line may head it."""
    text = with_instants(re.sub(r"\Atotal \S+\n", "", text))
    found = [match.groupdict() for match in FULL.finditer(text)]
    rest = [line for line in FULL.sub("", text).splitlines() if line.strip()]
    for line in rest:
        match = TERSE.fullmatch(line) or LONG.fullmatch(line)
        if match is None:
            return []
        found.append(match.groupdict())
    return [clean(facts, cwd) for facts in found]


def clean(facts: dict[str, str | None], cwd: str) -> Facts:
    known = {key: value for key, value in facts.items() if value is not None}
    if raw := known.pop("raw", None):
        known["mode"] = stat.filemode(int(raw, 16))
    known["path"] = posixpath.normpath(posixpath.join(cwd, known["path"].strip("'")))
    return known


def states(gold: Facts, candidate: Facts) -> bool:
    """The candidate states every fact about a file that the gold does, as far as a file is concerned, and no other."""
    common = gold.keys() & candidate.keys()
    owners = {"user", "group"} <= common or {"uid", "gid"} <= common
    if not owners or not common >= ALWAYS or gold.keys() - common - BESIDE:
        return False
    return all(same_fact(gold[key], candidate[key]) for key in common)


def same_fact(one: str, two: str) -> bool:
    return one == two or same_instant(one, two) or same_size(one, two, 1)
