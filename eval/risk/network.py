"""Roles of the effect table that have to do with the network and with software from it (see roles.py)."""

import re
from collections.abc import Callable

from eval.risk.context import Context
from eval.risk.effects import Row, Use
from eval.risk.paths import SYSTEM_PATH, UNKNOWN, is_credential, is_critical_tree
from eval.risk.repository import git_argument, git_directory, git_path
from eval.risk.touched import delete, forget, place, read, send, url, write
from eval.risk.word import NET, SECRET, SHELL, UNKNOWN_OUTPUT, Output, Word

Role = Callable[[Context, Use, Word, Output], Output | None]

REMOTE = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)|^\w+://|^[\w.-]+::")
SSH_OPTION_RUNS = re.compile(
    r"^(?:ProxyCommand|LocalCommand|PermitLocalCommand|KnownHostsCommand|PKCS11Provider)\s*[= ]", re.I
)


def _download(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text not in ("-", "/dev/stdout"):
        write(shell, word, False, Output(None, NET))


def _url(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    url(shell, word)
    keeps = use.row.name in ("wget", "fetch", "aria2c", "axel", "lwp-download") or "remote-name" in use.marks
    if keeps and not any(role == "download" for role, _word in use.found):
        name = word.text.split("?")[0].rstrip("/").rsplit("/", 1)[-1] or "index.html"
        write(shell, Word(name, 0, word.start, word.end), False, Output(None, NET))
    if use.row.name == "lwp-download" and len(use.operands) > 1 and word is use.operands[-1]:
        write(shell, word, False, Output(None, NET))


def _post(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    send(shell, word, stdin.taint if word.text.lstrip("@").endswith("-") and "@-" in word.text else 0)


def _upload(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    send(shell, word, stdin.taint if word.text in ("-", ".") else 0, upload=word.text not in ("-", "."))


def _literal(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """Data that is sent as it stands: no `@file`."""
    shell.find("exfiltration" if word.taint & SECRET else "network-send", word)


def _header(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """A header, or `@file` of headers, which may be any file."""
    if word.text[:1] == "@" and word.text != "@-":
        send(shell, word)
    elif word.taint & SECRET:
        shell.find("exfiltration", word)


def _cookie(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    if "=" not in word.text:
        send(shell, word, upload=True) if is_credential(place(shell, word)) else read(shell, word)
    elif word.taint & SECRET:
        shell.find("exfiltration", word)


def _passphrase(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    kind, _colon, rest = word.text.partition(":")
    if kind == "file":
        read(shell, Word(rest, word.taint, word.start, word.end))


def _url_or_file(shell: Context, use: Use, word: Word, stdin: Output) -> Output | None:
    text = word.text
    if use.row.name in ("http", "https", "xh", "httpie"):
        if text in ("POST", "PUT", "PATCH", "DELETE") or re.match(r"[\w-]+(?::?=|=?@)", text):
            send(shell, Word(text.replace("@", "=@"), word.taint, word.start, word.end))
        elif stdin.text or stdin.taint:
            send(shell, word, stdin.taint)
    if text[:1] in "/~.":
        return read(shell, word)
    url(shell, word)
    return None


def _sftp(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    """Commands of sftp from a pipe."""
    for line in word.text.split("\n"):
        verb, _blank, rest = line.strip().lstrip("-@").partition(" ")
        if verb.startswith("!"):
            shell.find("shell-escape", word)
            shell.run_text(line.strip().lstrip("-@")[1:], word)
        elif verb in ("get", "mget", "reget") and rest:
            write(shell, Word(rest.split()[-1].rsplit("/", 1)[-1], 0, word.start, word.end), False, Output(None, NET))
        elif verb in ("put", "mput", "reput") and rest:
            send(shell, Word(rest.split()[0], 0, word.start, word.end), upload=True)
        elif verb not in ("", "ls", "cd", "lcd", "pwd", "lpwd", "bye", "exit", "quit", "help", "df", "lls", "#"):
            shell.find("network-send", word)


def _ethtool(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if use.row.name == "ethtool":
        shell.find("firewall", word)


def _field(shell: Context, _use: Use, word: Word, _stdin: Output) -> None:
    if "=@" in word.text:
        send(shell, word)


def _nothing(_shell: Context, _use: Use, _word: Word, _stdin: Output) -> None:
    return None


def _socket(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if "docker.sock" in word.text or "containerd" in word.text:
        shell.find("container-escape", word)


def _sync(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    if REMOTE.match(word.text):
        return Output(None, NET)
    if "dry" in use.marks:
        return None
    output = read(shell, word)
    target = use.operands[-1].text if use.operands else ""
    if REMOTE.match(target):
        personal = place(shell, word) in ("/", "/etc", "/root", "/home", "~", "/home/*", "/var")
        shell.find("exfiltration" if personal else "network-send", word)
    return output


def _syncto(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if REMOTE.match(word.text):
        shell.find("remote-login", word)
        return
    if "dry" in use.marks:
        return
    source = use.operands[0].text if use.operands else ""
    if "delete" in use.marks:
        delete(shell, word, True)
        if not is_critical_tree(place(shell, word)):
            shell.find("data-loss", word)
    if REMOTE.match(source):
        name = source.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        target = word.text.rstrip("/") + "/" + name if word.text.endswith(("/", ".")) else word.text
        write(shell, Word(target, 0, word.start, word.end), False, Output(None, NET))
        forget(shell, place(shell, word), NET)
    else:
        write(shell, word, False, UNKNOWN_OUTPUT)
        forget(shell, place(shell, word))


def _login(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    shell.find("remote-login", word)
    if stdin.taint & SECRET:
        shell.find("exfiltration", word)
    if len(use.operands) > 1:
        remote = use.operands[1:]
        text = " ".join(one.text for one in remote)
        shell.run_text(text, remote[0], stdin)
    elif stdin.text:
        shell.run_text(stdin.text, word)


def _ssh_option(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if SSH_OPTION_RUNS.match(word.text):
        shell.find("shell-escape", word)
        shell.suspect_text(word.text.split("=", 1)[-1].lstrip(";"), word)


def _raw(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    text = word.text
    if re.search(r"(?i)\b(?:exec|system):", text):
        shell.find("reverse-shell", word)
    elif re.search(r"(?i)^(?:file|open|gopen):", text):
        path = text.split(":", 1)[1].split(",")[0]
        read(shell, Word(path, 0, word.start, word.end))
        if SYSTEM_PATH.match(path):
            shell.find("exfiltration", word)


def _lookup(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.taint & SECRET:
        shell.find("exfiltration", word)
    elif UNKNOWN + "." in word.text:
        shell.find("network-send", word)


def _payload(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if use.row.name.startswith("ping"):
        shell.find("exfiltration" if word.taint & SECRET else "network-send", word)


def _net_config(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    changes = {
        "add",
        "del",
        "delete",
        "flush",
        "change",
        "replace",
        "up",
        "down",
        "set",
        "promisc",
        "hw",
        "netmask",
        "append",
    }
    if word.text in changes:
        shell.find("firewall", word)
    if "batch" in use.marks:
        read(shell, word)


def _openssl(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    if word is not use.operands[0]:
        return
    if word.text in ("s_client", "s_server"):
        looks = word.text == "s_client" and stdin.text is not None and stdin.text.strip().upper() in ("", "Q", "QUIT")
        if not looks:
            shell.find("exfiltration" if stdin.taint & SECRET else "listen", word)
    elif word.text == "enc" and "decode" not in use.marks:
        shell.find("encrypt-files", word)


def _cloud(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    if word.text in (
        "rb",
        "delete-bucket",
        "purge",
        "deletefile",
        "terminate-instances",
        "delete-db-instance",
        "delete",
    ):
        shell.find("data-destruction", word)
    return read(shell, word) if word.text[:1] in "/~." else None


def _package(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if re.search(r"^(?:git\+.*|(?:http|ftp|git)://.*|https?://\d+\.\d+\..*|\d+\.\d+\.\d+\.\d+/.*)", word.text):
        shell.find("untrusted-source", word)


def _index(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text.startswith("http://"):
        shell.find("untrusted-source", word)
    elif "://" in word.text:
        shell.find("supply-chain", word)


def piped_out(shell: Context, row: Row, use: Use, stdin: Output) -> None:
    """What a network tool gets through a pipe leaves the machine."""
    if "network" not in row.does or (row.out == "" and row.many not in ("cloud", "openssl")):
        return
    if stdin.taint & SHELL:
        shell.find("reverse-shell", use.name)
    if stdin.taint & SECRET and row.many in ("raw", "cloud", "openssl"):
        shell.find("exfiltration", use.name)


NETWORK_ROLES: dict[str, Role] = {
    "download": _download, "url": _url, "post": _post, "upload": _upload, "socket": _socket, "sync": _sync,
    "syncto": _syncto, "login": _login, "sshoption": _ssh_option, "raw": _raw, "lookup": _lookup,
    "payload": _payload, "netconf": _net_config, "openssl": _openssl, "gitarg": git_argument, "gitpath": git_path,
    "gitdir": git_directory, "literal": _literal, "header": _header, "cookie": _cookie, "passphrase": _passphrase,
    "url-or-file": _url_or_file, "sftp": _sftp, "ethtool-change": _ethtool, "field": _field, "method": _nothing,
    "package": _package, "packagefile": _package,
    "url-index": _index, "cloud": _cloud,
}  # fmt: skip
