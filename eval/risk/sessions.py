"""Roles of what acts on other processes (see roles.py): signals, and terminals that type for somebody."""

import re

from eval.risk.context import Context
from eval.risk.effects import Use
from eval.risk.network import Role
from eval.risk.paths import UNKNOWN
from eval.risk.tools import kill_source
from eval.risk.word import NOTHING, SERVICE, Output, Word

TMUX_RUNS = {"new", "new-session", "neww", "new-window", "send-keys", "send", "splitw", "split-window", "run",
             "run-shell", "respawn-pane"}  # fmt: skip
SYSTEM_SERVICES = re.compile(
    r"\W*(?:sshd|systemd|init|dbus|a?crond?|\.|\*|dockerd|containerd|kubelet|NetworkManager|journald|udev)"
)


def _kill(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    signals = [one.text for one in use.operands]
    if any(one.text in ("-0", "-l", "-L") for one in use.words):
        return
    if word.text in ("1", "-1"):
        shell.find("kill-all", word)
    elif word.taint & SERVICE:
        shell.find("stop-service", word)
    elif UNKNOWN in word.text and not shell.nested() and (name := kill_source(shell, word)):
        _kill_name(shell, use, Word(name, 0, word.start, word.end), NOTHING)
    elif word.text[:1] != "%" and signals and not word.text.isdigit() and UNKNOWN not in word.text:
        shell.find("stop-service", word)


def _kill_name(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if re.search(
        r"audit|syslog|falcon|wazuh|osquery|crowdstrike|clamd|fail2ban|ossec|sysmon|defender|\bmdatp", word.text
    ):
        shell.find("disable-defence", word)
    elif SYSTEM_SERVICES.match(word.text):
        shell.find("stop-service", word)


def _screen(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    """A new session runs its operands; `send-keys` and `stuff` type them into another shell."""
    texts = [one.text for one in use.operands]
    if word is not use.operands[0]:
        return
    if use.row.name in ("tmux", "byobu", "zellij"):
        if texts[0] in TMUX_RUNS and len(texts) > 1:
            shell.run_text(" ".join(text for text in texts[1:] if text not in ("C-m", "Enter")), use.operands[-1])
    elif "X" in use.marks:
        if texts[0] in ("stuff", "exec", "screen"):
            shell.run_text(" ".join(texts[1:]), word)
    elif not {"-r", "-x", "-R", "-ls"} & {one.text[:2] for one in use.words}:
        shell.run_text(" ".join(texts), word)


SESSION_ROLES: dict[str, Role] = {"kill": _kill, "killname": _kill_name, "screen": _screen}
