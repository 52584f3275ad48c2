"""What a gold asks of the system around its files: users and groups, host names, variables, programs, packages."""

import random

from eval.sandbox.root import SEARCH
from eval.sandbox.stored import HOME
from eval.tasks.nl2bash_fixture.folders import Item, Plan
from eval.tasks.nl2bash_fixture.reading import Reading

OURS = 1000  # the user and group id of every file
SYSTEM_USERS = (("root", 0), ("daemon", 1), ("bin", 2), ("sys", 3), ("mail", 8), ("www-data", 33), ("nobody", 65534))
SHELLS = ("/bin/bash", "/bin/sh", "/usr/sbin/nologin")


def surround(reading: Reading, rng: random.Random, variant: int) -> tuple[Plan, tuple[tuple[str, str], ...]]:
    """(paths below the top, environment variables)."""
    plan: Plan = {}
    variables: dict[str, str] = {}
    first = dict(zip(reading.utilities, reading.calls, strict=True))
    people = [word for utility in ("id", "groups") for word in first.get(utility, [])[1:] if not word.startswith("-")]
    if people or reading.owners or reading.group_owners or any(o.kind == "accounts" for o in reading.operands):
        plan |= accounts(reading, people, rng, variant)
    if "getent" in first:
        plan |= hosts(first["getent"][2:], rng)
    if {"env", "printenv"} & first.keys():
        variables = environment(reading, first.get("printenv", [])[1:], rng)
    if first.get("command", [])[1:2] == ["-v"]:
        for tool in first["command"][2:]:
            for name in (tool, f"{tool}-config"):
                plan[f"{HOME}/.local/bin/{name}"[1:]] = Item(b"#!/bin/sh\necho ready\n", mode=0o755)
        variables["PATH"] = f"{HOME}/.local/bin:{SEARCH}"
    if "dpkg" in first:
        plan["var/lib/dpkg/status"] = Item(packages(reading, rng))
    return plan, tuple(sorted(variables.items()))


def accounts(reading: Reading, people: list[str], rng: random.Random, variant: int) -> Plan:
    """/etc/passwd and /etc/group with the people named, each in some groups.

    Every file belongs to one user id. So a user whose files are looked for is that user; in odd variants he is not, and
    nothing is found: the two together tell the search from one without the condition.
    """
    users = [*SYSTEM_USERS, ("user", OURS)]
    groups: dict[str, tuple[int, list[str]]] = {name: (number, []) for name, number in users}
    others = [name for name in ("ada", "linus", "margaret") if name not in people]
    for place, name in enumerate(dict.fromkeys([*people, *reading.owners, *others])):
        number = OURS if name in reading.owners and not variant % 2 else 1100 + rng.randrange(800)
        known = dict(users)
        if name not in known:
            users.append((name, number))
            groups.setdefault(name, (number if number != OURS else 1900 + place, []))
    for place, name in enumerate(dict.fromkeys([*reading.group_owners, "staff", "games", "video"])):
        groups.setdefault(name, (OURS if name in reading.group_owners and not variant % 2 else 2100 + place, []))
    for name in [*people, *others]:
        for group in rng.sample(["staff", "games", "video", "mail"], 2):
            groups[group][1].append(name)
    primary = {name: groups[name][0] if name in groups and number != OURS else number for name, number in users}
    for name in people:
        primary[name] = groups[rng.choice(["staff", "games", "video"])][0]
    rows = [
        f"{name}:x:{number}:{primary[name]}:{name.capitalize()}:/home/{name}:{SHELLS[number % 3]}\n"
        for name, number in users
    ]
    lines = [f"{name}:x:{number}:{','.join(dict.fromkeys(members))}\n" for name, (number, members) in groups.items()]
    return {"etc/passwd": Item("".join(rows).encode(), age=300), "etc/group": Item("".join(lines).encode(), age=300)}


def hosts(names: list[str], rng: random.Random) -> Plan:
    """/etc/hosts that knows the hosts named."""
    lines = ["127.0.0.1 localhost", "127.0.1.1 sandbox", "192.0.2.250 spare.lan"]
    others = [name for name in names if name != "localhost"]
    lines += [f"192.0.2.{rng.randrange(2, 240)} {name} {name.partition('.')[0]}-alias" for name in others]
    return {"etc/hosts": Item(("\n".join(lines) + "\n").encode(), age=300)}


def environment(reading: Reading, names: list[str], rng: random.Random) -> dict[str, str]:
    """Variables: those that are asked for, and some that nearly match."""
    found = {"EDITOR": "vi", "PAGER": "cat", "PROJECT_ROOT": f"{HOME}/project", "Build_Mode": "fast"}
    fixed = {"PATH", "HOME", "PWD", "SHELL", "TERM", "LANG", "TZ", "USER", "LOGNAME"}
    for name in names:
        if name not in fixed:
            found[name] = f"{HOME}/{name.lower()}-{rng.randrange(100)}"
            found[f"{name}_OLD"] = f"/opt/{name.lower()}"
    for word in reading.words:
        name = word.upper().replace("-", "_").rstrip("_")
        found |= {f"{name}_HOME": f"/opt/{rng.randrange(100)}", f"{name}_PORT": str(rng.randrange(9999))}
        found[f"MY_{name}_MODE"] = "on"
        found |= {"LAST_TOOL": f"/usr/bin/{word.lower()}", "FIRST_TOOL": word.upper(), f"{name.lower()}_user": "user"}
    return found


def packages(reading: Reading, rng: random.Random) -> bytes:
    """The package database: packages with the word in the name, in the description only, and others."""
    named = [(f"{word}-{part}", "typesetting files") for word in reading.words for part in ("base", "extra", "lang-en")]
    described = [("lyx-common", f"document processor that uses {word}") for word in reading.words]
    described += [("glyphs", f"fonts for {word.upper()}") for word in reading.words]
    named += [(f"lib{word}2", "shared library") for word in reading.words]
    plain = [("harbor-tools", "small tools"), ("zlib1g", "compression library"), ("bash", "shell"), ("tar", "archiver")]
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: misc\n"
        f"Maintainer: A Person <person@example.org>\nArchitecture: all\n"
        f"Version: {rng.randrange(1, 9)}.{rng.randrange(20)}-1\nDescription: {text}\n"
        for name, text in sorted([*named, *described, *plain])
    ]
    return "\n".join(stanzas).encode()
