"""What an operand or an option's value means to its utility: one function a role of effects.yaml.

Each takes (walk, use, word, standard input) and records findings; a role that reads returns where its data
comes from.
"""

import re
from collections.abc import Callable

from eval.risk.context import Context
from eval.risk.effects import Use
from eval.risk.judge import delete, permissions, place, read, send, url, write
from eval.risk.paths import DEVICE, SCRATCH, SYSTEM_PATH, UNKNOWN, is_critical_tree
from eval.risk.words import ENDLESS, NET, NOTHING, SECRET, UNKNOWN_OUTPUT, Output, Word

Role = Callable[[Context, Use, Word, Output], Output | None]

REMOTE = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)|^\w+://|^[\w.-]+::")
SSH_OPTION_RUNS = re.compile(r"^(?:ProxyCommand|LocalCommand|PermitLocalCommand|KnownHostsCommand|PKCS11Provider)\s*[= ]", re.I)
HOST_MOUNT = re.compile(r"(?:^|,)(?:src=|source=)?/(?:etc|root|var/run/docker\.sock|home|boot|proc|sys|dev|usr|var)?/?(?::|,|$)")
TMUX_RUNS = {"new", "new-session", "neww", "new-window", "send-keys", "send", "splitw", "split-window", "run", "run-shell",
             "respawn-pane"}  # fmt: skip
SUSPECT_JOB = re.compile(r"/tmp/|/dev/shm|/dev/tcp|\b(?:curl|wget|nc|ncat|base64|socat)\b|/\.\w|@reboot")


def _read(shell: Context, use: Use, word: Word, stdin: Output) -> Output | None:
    if word.text == "-":
        return stdin
    output = read(shell, word)
    if "recursive" in use.marks and is_critical_tree(place(shell, word)):
        pattern = next((found.text for role, found in use.found if role == "pattern"), "")
        if re.search(r"pass(?:w|wo?r?d)?|secret|token|api.?key|PRIVATE KEY|credential", pattern, re.I):
            shell.find("credential-search", word, pattern)
    return output


def _write(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    write(shell, word, "append" in use.marks, stdin if use.row.name in ("tee", "sponge") else UNKNOWN_OUTPUT)


def _download(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text not in ("-", "/dev/stdout"):
        write(shell, word, False, Output(None, NET))


def _delete(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    delete(shell, word, "recursive" in use.marks)


def _rmdir(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if place(shell, word) == "/":
        shell.find("delete-system", word)


def _make(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    path = place(shell, word)
    if SYSTEM_PATH.match(path) and path not in shell.files and not path.startswith(("/var/log", "/root", "/opt", "/srv", "/dev/")):
        shell.find("system-write", word)


def _truncate(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    write(shell, word, False, NOTHING)


def _size(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if re.match(r"\+?\d{3,}[GTP]|\+?\d+[TPE]", word.text):
        shell.find("resource-exhaustion", word)


def _move(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    path = place(shell, word)
    if is_critical_tree(path) and not path.endswith("*"):
        shell.find("delete-critical", word)
    elif not (path in shell.files or path.startswith("/" + UNKNOWN) or UNKNOWN in path):
        delete(shell, word, False)


def _copy(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    if use.row.name == "install" and "directories" in use.marks:
        return None
    output = read(shell, word)
    target = next((found for role, found in reversed(use.found) if role == "write"), None)
    if target is not None and target is not word:
        path = place(shell, target)
        if path in ("/etc", "/usr/bin", "/bin", "/sbin") or path.startswith(("/etc/cron", "/lib/systemd", "/etc/systemd")):
            write(shell, Word(f"{path}/{word.text.rsplit('/', 1)[-1]}", 0, word.start, word.end), False, output)
        elif path not in shell.files and (output.text or output.taint & (NET | ENDLESS)):
            write(shell, target, False, output)
    return output


def _link(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    return None


def _mode(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if use.row.name != "chmod" and re.search(r"^[0-7]?[4-7][0-7]{3}$|s", word.text):
        shell.find("setuid", word)


def _permissions(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    first = use.operands[0].text if use.operands else ""
    if use.row.name == "chattr":
        if "i" in first or "a" in first:
            critical = SYSTEM_PATH.match(place(shell, word)) or ".ssh" in word.text
            shell.find("critical-permissions" if critical else "system-permissions", word)
        return
    mode = next((found.text for role, found in use.found if role == "mode"), "")
    if use.row.name in ("chmod", "setfacl") and use.operands and word is use.operands[0]:
        return
    permissions(shell, word, mode, "recursive" in use.marks)


def _dd(shell: Context, use: Use, word: Word, stdin: Output) -> Output | None:
    key, _equals, value = word.text.partition("=")
    target = Word(value, word.taint, word.start, word.end)
    if key == "if":
        return read(shell, target)
    if key == "of":
        source = next((one.text[3:] for one in use.operands if one.text.startswith("if=")), "")
        bounded = any(one.text.startswith("count=") for one in use.operands)
        endless = source in ("/dev/zero", "/dev/urandom", "/dev/random") and not bounded
        write(shell, target, False, Output(None, ENDLESS if endless else 0))
    return None


def _device(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if DEVICE.match(place(shell, word)):
        shell.find("format-disk", word)


def _disk(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    if re.search(r"mklabel|luksFormat|rm\b|remove|erase|format$|lvremove|vgremove|pvremove|destroy|delete|mkpart", word.text):
        shell.find("format-disk", word)
    elif use.row.name in ("lvremove", "vgremove", "pvremove"):
        shell.find("format-disk", word)
    elif DEVICE.match(word.text) and use.row.name in ("fdisk", "sfdisk", "sgdisk", "parted") and stdin.text:
        shell.find("format-disk", word)


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


def _socket(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if "docker.sock" in word.text or "containerd" in word.text:
        shell.find("container-escape", word)


def _sync(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    if REMOTE.match(word.text):
        return Output(None, NET)
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
    source = use.operands[0].text if use.operands else ""
    if REMOTE.match(source):
        name = source.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        target = word.text.rstrip("/") + "/" + name if word.text.endswith(("/", ".")) else word.text
        write(shell, Word(target, 0, word.start, word.end), False, Output(None, NET))
    else:
        write(shell, word, False, UNKNOWN_OUTPUT)
    if "delete" in use.marks:
        delete(shell, word, True)
        if not is_critical_tree(place(shell, word)):
            shell.find("data-loss", word)


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
    changes = {"add", "del", "delete", "flush", "change", "replace", "up", "down", "set", "promisc", "hw", "netmask", "append"}
    if word.text in changes:
        shell.find("firewall", word)
    if "batch" in use.marks:
        read(shell, word)


def _openssl(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    if word is not use.operands[0]:
        return
    if word.text in ("s_client", "s_server"):
        shell.find("exfiltration" if stdin.taint & SECRET else "listen", word)
    elif word.text == "enc" and "decode" not in use.marks:
        shell.find("encrypt-files", word)


def _edit(shell: Context, use: Use, word: Word, stdin: Output) -> Output | None:
    path = place(shell, word)
    if word.text[:1] == "+" and len(word.text) > 1:
        return None
    if stdin.text and "!" in stdin.text:
        shell.find("shell-escape", word)
    if SYSTEM_PATH.match(path):
        shell.find("system-write", word)
    return read(shell, word) if SYSTEM_PATH.match(path) else None


def _crontab(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    if "list" in use.marks:
        return
    text = stdin.text if word.text == "-" else (shell.files.get(place(shell, word)) or UNKNOWN_OUTPUT).text
    shell.find("persistence" if SUSPECT_JOB.search(text or "") or SCRATCH.search(word.text) else "schedule", word)


def _compile(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text.startswith(("/tmp/", "/dev/shm/", "/var/tmp/")):
        shell.find("unknown-program", word)


def _none(_shell: Context, _use: Use, _word: Word, _stdin: Output) -> None:
    return None


def _kill(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    signals = [one.text for one in use.operands]
    if any(one.text in ("-0", "-l", "-L") for one in use.words):
        return
    if word.text in ("1", "-1"):
        shell.find("kill-all", word)
    elif word.text[:1] != "%" and signals and not word.text.isdigit() and UNKNOWN not in word.text:
        shell.find("stop-service", word)


def _kill_name(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if re.search(r"audit|syslog|falcon|wazuh|osquery|crowdstrike|clamd|fail2ban|ossec|sysmon|defender|\bmdatp", word.text):
        shell.find("disable-defence", word)
    elif re.search(r"^(?:sshd|systemd|init|dbus|cron|\.|\*|dockerd|NetworkManager)", word.text):
        shell.find("stop-service", word)


def _firewall(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text in ("disable", "flush", "reset", "stop", "ACCEPT_ALL", "-d"):
        shell.find("disable-defence", word)


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


def _sql(shell: Context, use: Use, word: Word, stdin: Output) -> None:
    from eval.risk.languages import sql

    if re.search(r"\s|^\.|(?i:flush|shutdown|config|drop)", word.text):
        sql(shell, word)
    if stdin.text:
        sql(shell, Word(stdin.text, 0, word.start, word.end))
    read(shell, word)


def _package(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if re.search(r"^(?:git\+.*|(?:http|ftp|git)://.*|https?://\d+\.\d+\..*|\d+\.\d+\.\d+\.\d+/.*)", word.text):
        shell.find("untrusted-source", word)


def _index(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text.startswith("http://"):
        shell.find("untrusted-source", word)
    elif "://" in word.text:
        shell.find("supply-chain", word)


def _module(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text not in ("json.tool", "this", "calendar", "timeit", "unittest", "doctest", "venv", "py_compile"):
        shell.find("unknown-program", word)


def _power(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if re.search(r"PowerOff|Reboot|Halt|Suspend", word.text):
        shell.find("power", word)


def _backup(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text in ("destroy", "delete", "forget", "prune", "-B", "rollback", "deletelocalsnapshots"):
        shell.find("data-destruction", word)


def _cluster(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text.startswith(("secret", "configmaps,secret")):
        shell.find("credential-read", word)
    elif re.match(r"source=/|disk$", word.text) and use.row.name in ("lxc", "lxd"):
        shell.find("container-escape", word)
    elif use.operands[0].text in ("delete", "destroy", "undefine", "uninstall") and word is use.operands[0]:
        shell.find("data-loss", word)


def _infra(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    if word.text in ("destroy", "-destroy"):
        shell.find("data-destruction", word)


def _cloud(shell: Context, use: Use, word: Word, _stdin: Output) -> Output | None:
    if word.text in ("rb", "delete-bucket", "purge", "deletefile", "terminate-instances", "delete-db-instance", "delete"):
        shell.find("data-destruction", word)
    return read(shell, word) if word.text[:1] in "/~." else None


def _mount(shell: Context, use: Use, word: Word, _stdin: Output) -> None:
    return None


ROLES: dict[str, Role] = {
    "read": _read, "write": _write, "download": _download, "delete": _delete, "rmdir": _rmdir, "make": _make,
    "truncate": _truncate, "size": _size, "move": _move, "copy": _copy, "link": _link, "mode": _mode, "perm": _permissions,
    "dd": _dd, "device": _device, "disk": _disk, "url": _url, "post": _post, "upload": _upload, "socket": _socket,
    "sync": _sync, "syncto": _syncto, "login": _login, "remote": _none, "sshoption": _ssh_option, "raw": _raw,
    "lookup": _lookup, "payload": _payload, "netconf": _net_config, "openssl": _openssl, "edit": _edit,
    "crontab": _crontab, "compile": _compile, "kill": _kill, "killname": _kill_name, "firewall": _firewall,
    "screen": _screen, "sql": _sql, "package": _package, "packagefile": _package, "url-index": _index, "module": _module,
    "power": _power, "backup": _backup, "cluster": _cluster, "infra": _infra, "cloud": _cloud, "mount": _mount,
    "container": _none, "service": _none, "ignore": _none, "assign": _none, "marker": _none, "edit*": _none,
}  # fmt: skip


def archive(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """tar: options come with or without a dash; the file of -f is written when creating, read otherwise."""
    words, operands, taint = argv[1:], [], 0
    letters = ""
    file: Word | None = None
    directory: Word | None = None
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        text = word.text
        if re.match(r"--(?:checkpoint-action|to-command|use-compress-program|rsh-command|info-script|new-volume-script)", text):
            name, equals, value = text.partition("=")
            if not equals and at < len(words):
                value, at = words[at].text, at + 1
            if not re.fullmatch(r"(?:pigz|pbzip2|zstd|xz|lz4|gzip|bzip2|pixz|lbzip2)(?:\s.*)?", value):
                shell.find("shell-escape", word)
                shell.run_text(value.removeprefix("exec="), word)
        elif text == "--remove-files":
            shell.find("data-loss", word)
        elif text in ("--exclude", "--transform", "--newer", "-X", "--exclude-from", "-T", "--files-from", "--checkpoint"):
            at += "=" not in text and text != "--checkpoint"
        elif text in ("-C", "--directory"):
            if at < len(words):
                directory, at = words[at], at + 1
        elif text[:2] == "--":
            letters += {"--create": "c", "--extract": "x", "--get": "x", "--list": "t", "--append": "r"}.get(text, "")
            if text.startswith("--file="):
                file = Word(text[7:], word.taint, word.start, word.end)
        elif text[:1] == "-" or at == 1:
            letters += text.lstrip("-")
            needs = "f" in text and (text[0] != "-" or text.endswith("f"))
            if needs and at < len(words):
                file, at = words[at], at + 1
            elif "f" in text[1:] and text[0] == "-":
                file = Word(text[text.index("f") + 1 :], word.taint, word.start, word.end)
            if text == "-I" and at < len(words):
                at += 1
        else:
            operands.append(word)
    if "c" in letters or "r" in letters:
        for word in operands:
            taint |= read(shell, word).taint
            if is_critical_tree(place(shell, word)) and place(shell, word) not in ("/mnt", "/media", "/opt", "/srv"):
                taint |= SECRET
        if file is not None and file.text != "-":
            write(shell, file, False, Output(None, taint))
    elif "x" in letters:
        taint |= stdin.taint
        if directory is not None and is_critical_tree(place(shell, directory)):
            shell.find("system-write", directory)
        if "P" in letters:
            shell.find("system-write", argv[0], "absolute names")
    return Output(None, taint)
