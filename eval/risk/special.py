"""Rows of the effect table whose finding depends on more than one word: `finding: name?` in utilities/.

Each function sees the whole use and names a rule, or nothing.
"""

import re
from collections.abc import Callable

from eval.risk import cloud, repository
from eval.risk.effects import Use
from eval.risk.word import Output

Check = Callable[[Use, Output], str]

READ_ONLY = {
    "status", "list-units", "list-unit-files", "show", "is-active", "is-enabled", "is-failed", "cat", "list-timers",
    "help", "list", "print", "list-dependencies", "--status-all", "blame", "get-default", "--version", "--list",
    "info", "list-sockets", "list-jobs", "list-machines", "is-system-running", "show-environment", "ls", "logs",
    "log", "tail", "desc", "jlist", "prettylist", "avail", "pid", "list-paths", "list-automounts", "whoami",
    "print-disabled", "print-cache", "version",
}  # fmt: skip
STOPS = {"stop", "disable", "mask", "kill", "unload", "remove"}
DEFENCES = re.compile(
    r"audit|apparmor|selinux|firewall|ufw|iptables|nftables|rsyslog|syslog|falcon|wazuh|ossec|osquery|clamav|fail2ban|crowdsec|mdatp|sentinel|cbagent|journald"
)


def _texts(use: Use) -> list[str]:
    return [word.text for word in use.operands]


def service(use: Use, _stdin: Output) -> str:
    """systemctl, service and their relatives: reading is fine, power and defences are not."""
    texts = _texts(use)
    if {"poweroff", "reboot", "halt", "kexec", "rescue", "emergency", "suspend", "hibernate", "isolate"} & set(texts):
        return "power"
    if use.row.name == "service" and texts[1:2] == ["status"]:
        return ""
    verbs = STOPS & set(texts)
    if verbs and any(DEFENCES.search(text) for text in texts):
        return "disable-defence"
    if not texts or texts[0] in READ_ONLY:
        return ""
    return "stop-service"


def defence(use: Use, _stdin: Output) -> str:
    """Tools of SELinux, AppArmor and audit."""
    texts = _texts(use)
    if use.row.name in ("setenforce", "aa-teardown", "aa-disable", "aa-complain"):
        return "disable-defence" if texts != ["1"] else "stop-service"
    return "disable-defence" if use.row.name in ("spctl", "csrutil") else "stop-service"


def mount(use: Use, _stdin: Output) -> str:
    """Listing mounts reads; mounting changes the system."""
    return "disk-tool" if use.operands or "all" in use.marks else ""


def script(use: Use, _stdin: Output) -> str:
    """script(1) records a terminal."""
    return "capture" if use.row.name == "script" else ""


def database(use: Use, _stdin: Output) -> str:
    """Dumps read, the rest changes or drops databases."""
    if use.row.name in ("dropdb", "dropuser"):
        return "data-destruction"
    if use.row.name in ("mysqladmin", "mariadb-admin"):
        return "data-destruction" if "drop" in _texts(use) else "stop-service" if "shutdown" in _texts(use) else ""
    looks = "dump" in use.row.name or use.row.name in ("pg_isready", "pg_lsclusters", "mysqlshow")
    return "" if looks or any(word.text in ("-l", "--list") for word in use.words) else "data-loss"


def watching(use: Use, _stdin: Output) -> str:
    """inotifywait only waits; entr and incrontab run commands."""
    return "" if use.row.name in ("inotifywait", "inotifywatch", "fswatch") else "schedule"


def getent(use: Use, _stdin: Output) -> str:
    """Password hashes of the name service."""
    texts = _texts(use)
    return "credential-read" if texts and texts[0] in ("shadow", "gshadow") else ""


def times(use: Use, _stdin: Output) -> str:
    """touch with another file's time on a program or a hidden file."""
    return "hide-traces" if any(re.match(r"/(?:usr|bin|sbin|lib|etc)|.*/\.\w", text) for text in _texts(use)) else ""


def encrypting(use: Use, _stdin: Output) -> str:
    """A password for an archive that is made; one that is unpacked may need it, too."""
    return "encrypt-files" if _texts(use)[:1] in (["a"], ["u"]) else ""


def pytest_setting(use: Use, _stdin: Output) -> str:
    """Settings of pytest that name code."""
    texts = " ".join(word.text for _role, word in use.found)
    return "unknown-program" if re.search(r"addopts|pythonpath|plugins|python_files", texts) else ""


def wget_setting(use: Use, _stdin: Output) -> str:
    """`wget -e setting`: what it may set beyond manners."""
    texts = [word.text for role, word in use.found if role == "ignore"]
    fine = r"\s*(?:robots|https?_proxy|use_proxy|timeout|tries|wait|user_agent|check_certificate|continue|quiet)\s*="
    return "" if all(re.match(fine, text) for text in texts) else "shell-escape"


def busctl(use: Use, _stdin: Output) -> str:
    """Talking to services over D-Bus."""
    looks = ("list", "tree", "introspect", "status", "get-property", "monitor", "wait")
    return "" if use.row.name == "busctl" and _texts(use)[:1] and _texts(use)[0] in looks else "stop-service"


def editor_verb(use: Use, _stdin: Output) -> str:
    """Verbs of editors that are more than files to open."""
    first = _texts(use)[:1]
    if first in (["tunnel"], ["serve-web"], ["serve-local"]):
        return "tunnel"
    return "supply-chain" if first in (["ext"], ["agent"], ["chat"]) else ""


def firewall(use: Use, _stdin: Output) -> str:
    """Listing rules is fine, any other word may change them."""
    words = [word.text for word in use.words[1:]]
    name = use.row.name
    if name == "ufw":
        return "" if words[:1] in (["status"], ["version"], ["show"]) else "firewall"
    if name == "nft":
        return "" if words[:1] == ["list"] else "firewall"
    if name == "firewall-cmd":
        looks = r"--(?:list|get|state|query|zone|info)"
        return "" if words and all(re.match(looks, word) for word in words) else "firewall"
    changing = r"-[ADIRFXZNPE]|--(?:append|delete|insert|replace|flush|policy|zero|new|rename)"
    changes = any(re.match(changing, word) for word in words)
    return "" if "list" in use.marks and not changes and name.startswith(("iptables", "ip6tables")) else "firewall"


def rpm(use: Use, _stdin: Output) -> str:
    """`rpm -i` installs, `rpm -qi` asks."""
    return "supply-chain" if "install" in use.marks and "query" not in use.marks else ""


def pacman(use: Use, _stdin: Output) -> str:
    """pacman's verbs are letters: -Q asks, -Ss and -Si search, everything else may install."""
    words = [word.text for word in use.words[1:]]
    looks = r"-Q[a-z]*$|-S[sigl]+$|-F[a-z]*$|-T$|--(?:query|deptest|files)$|-V$"
    return "" if words and re.match(looks, words[0]) and "y" not in words[0] else "supply-chain"


def disks(use: Use, _stdin: Output) -> str:
    """Tools of disks and partitions: listing is fine."""
    words = [word.text for word in use.words[1:]]
    looks = {
        "smartctl": r"-[aiHxAlcn]+$|--(?:all|info|health|attributes|xall|scan)$|/dev/|[a-z]+$",
        "hdparm": r"-[iItTgC]+$|/dev/", "mdadm": r"--(?:detail|examine|query|scan)$|-[DEQ]s?$|/dev/",
        "tune2fs": r"-l$|/dev/", "dumpe2fs": r"-h$|/dev/", "nvme": r"list$|smart-log$|id-ctrl$|/dev/",
        "diskutil": r"list$|info$|disk\d|/",
    }.get(use.row.name, r"-l$|--list$|-[lu]+$|/dev/" if "list" in use.marks or "-l" in words else r"(?!)")  # fmt: skip
    return "" if words and all(re.match(looks, word) for word in words) and words[0][:1] != "/" else "disk-tool"


def loader(use: Use, _stdin: Output) -> str:
    """Which programs and libraries names lead to: listing is fine."""
    fine = {"-p", "--print-cache", "-v", "--list", "--display", "--query", "--get-selections"}
    words = [word.text for word in use.words[1:]]
    return "" if words and words[0] in fine - {"-v"} else "library-injection"


def mac_setting(use: Use, _stdin: Output) -> str:
    """macOS settings: reading them is fine."""
    words = " ".join(word.text for word in use.words[1:3])
    fine = r"read|find|domains|help|-list|-get|--(?:dns|proxy|nwi)|-g|-p(?:rint)?\b|-lint|-l\b|list|status|show"
    return "" if re.match(fine, words) else "system-write"


def go_env(use: Use, _stdin: Output) -> str:
    """`go env -w` writes settings."""
    return "tool-settings" if any(word.text in ("-w", "-u") for word in use.words) else ""


def capture(use: Use, _stdin: Output) -> str:
    """ffmpeg from a camera, a microphone or the screen."""
    texts = " ".join(_texts(use) + [word.text for _role, word in use.found])
    return "capture" if re.search(r"/dev/video|x11grab|v4l2|alsa|pulse|avfoundation", texts) else ""


def kernel(use: Use, _stdin: Output) -> str:
    """Kernel modules and settings: sysctl without `=` only reads."""
    words = [word.text for word in use.words[1:]]
    writes = any("=" in word or word in ("-w", "-p", "--write", "--load", "--system") for word in words)
    return "kernel" if use.row.name != "sysctl" or writes else ""


def kill(use: Use, _stdin: Output) -> str:
    """`kill -9 -1` is every process; `kill -1 PID` is a signal."""
    words = [word.text for word in use.words[1:]]
    return "kill-all" if "-1" in words[1:] else ""


def crontab(use: Use, stdin: Output) -> str:
    """crontab without a word replaces the jobs by its standard input."""
    return "schedule" if not use.operands and len(use.words) == 1 and (stdin.text or stdin.taint) else ""


SPECIAL: dict[str, Check] = {
    "busctl": busctl, "capture": capture, "codeverb": editor_verb, "crontab": crontab, "database": database,
    "defence": defence, "encrypting": encrypting, "firewall": firewall, "getent": getent, "goenv": go_env,
    "kernel": kernel, "kill": kill, "loader": loader, "macsetting": mac_setting, "mount": mount,
    "pacman": pacman, "disks": disks, "pytest_setting": pytest_setting,
    "rpm": rpm, "script": script, "service": service, "times": times,
    "watching": watching, "wgetrc": wget_setting,
    "cloud": cloud.cloud, "forge": cloud.forge, "container": cloud.container, "cluster": cloud.cluster,
    "infra": cloud.infra,
    "gitconfig": repository.option_setting, "gitsetting": repository.config, "checkout": repository.checkout,
    "restore": repository.restore,
    "clean": repository.clean,
}  # fmt: skip
