"""Which places of a file system matter: devices, critical files, credentials, start-up files.

Paths come as the resolver leaves them: `~` for the home directory, UNKNOWN for a part that is only known when the
command runs, `*`, `?` and `[...]` for globs. A glob matches a place when it could expand to it.
"""

import re
from fnmatch import fnmatchcase

UNKNOWN = "\0"

DEVICE = re.compile(
    r"/dev/(?:[shv]d[a-z*?\0]|xvd|nvme\d|mmcblk|md\d|dm-|mapper/|disk/|loop\d|mem$|kmem$|port$|sd$|ram\d)"
)
SYSTEM_TREES = (
    "/", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/boot", "/var", "/root", "/home", "/dev", "/sys",
    "/proc", "/opt", "/srv", "/run", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local", "/usr/share", "/var/lib",
    "/mnt",
    "/usr/lib64", "/media", "/System", "/Library", "/Applications", "/Users", "/boot/efi", "/boot/grub", "/etc/ssh",
    "~",
)  # fmt: skip
CRITICAL_TREES = frozenset(SYSTEM_TREES)
# Trees whose owner or mode is the system's: /usr/local, /opt, /srv and homes are given away in ordinary work.
OWNED_TREES = CRITICAL_TREES - {"/usr/local", "/opt", "/srv", "/mnt", "/media", "/Applications", "/run", "~"}
APPLICATION = re.compile(r"/(?:var/www|opt/[^/]|srv/[^/]|var/ftp|usr/local/(?:rvm|lib/node_modules))")
# Caches are made again; what a person put below the home is not.
BELOW_HOME = re.compile(r"(?:~[\w.-]*|/home/[^/]+|/Users/[^/]+)/(?!\.cache/.)(?!\.Trash/.).")
HOME_OF_SOMEONE = re.compile(r"(?:/home/[^/*?\[\0]+|/Users/[^/*?\[\0]+)")
# Not a place for ordinary work: the root, a tree directly below it, or below one of the system's.
OUTSIDE = re.compile(
    r"/(?!tmp(?:/|$)|var/tmp(?:/|$)|dev/shm(?:/|$)|home/[^/\0]|Users/[^/\0]|workspace)(?:[^/\0]*/?$|(?:etc|usr|bin|sbin|lib\w*|boot|var|root|sys|proc|dev|opt|srv|home|run)(?:/|$)|\0|\*)"
)
SYSTEM_PATH = re.compile(r"/(?:etc|usr|bin|sbin|lib\w*|boot|var|root|sys|proc|dev|opt|srv)(?:/|$)")

HOME = r"(?:~[\w.-]*|/root|/home/[^/]+|/Users/[^/]+)"
CREDENTIALS = re.compile(
    r"(?:/etc/(?:g?shadow|sudoers)\b(?!\.d/README)|/var/backups/g?shadow"
    r"|(?:^|/)\.ssh/(?:id_\w+|identity|[\w.-]*key|\*|$)(?!.*\.pub)|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)$"
    r"|/etc/ssh/ssh_host_\w*key$"
    r"|/\.aws/credentials|/\.netrc\b|/\.pgpass\b|/\.git-credentials|/\.docker/config\.json|/\.kube/config|/\.my\.cnf"
    r"|/\.config/gcloud/|/\.azure/|/\.gnupg(?:/|$)|/\.password-store|/\.vault-token|/\.npmrc$|/\.pypirc$"
    r"|/\.(?:ssh|aws|azure|kube|docker)(?:/\*|/?$)|/\.config/(?:gh|rclone|op|hub|doctl)(?:/hosts\.yml|/rclone\.conf|/config[\w.]*|/\*|/?$)"
    r"|/\.config/gcloud(?:/\*)?$|/\.cargo/credentials|/\.gem/credentials|/\.terraform\.d/credentials|/\.config/hub$"
    r"|/Library/(?:Keychains(?:/|$)|Cookies|Messages|Mail)(?:/|$)?|/\.local/share/keyrings|/\.netrc\b|/_netrc$"
    r"|/etc/(?:ssl/private|letsencrypt/(?:live|archive)|wireguard|openvpn/[\w-]*\.key)|/\.config/(?:google-chrome|chromium|BraveSoftware)"
    r"|/logins\.json|/key[34]\.db|/Login Data$|/Cookies$|\.kdbx$|/keyrings/|/\.mozilla/firefox"
    r"|/proc/[^/]+/(?:mem|environ)$|/proc/kcore$|/dev/(?:mem|kmem)$"
    r"|/serviceaccount/token|/etc/(?:krb5\.keytab|security/opasswd|master\.passwd)|/\.ssh$)"
)
CREDENTIAL_FILES = (
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "~/.ssh/id_rsa",
    "~/.aws/credentials",
    "/root/.ssh/id_rsa",
)
PRIVATE = re.compile(r"(?:^|/)(?:\.env(?:\.\w+)?|wp-config\.php|[.\w-]*credentials?[\w.-]*|[\w-]*secrets?\.\w+)$")
HISTORY = re.compile(r"(?:^|/)\.(?:\w+_)?history$|/\.\w+_history")
LOGIN_LOGS = re.compile(
    r"/var/(?:log(?:/(?:wtmp|btmp|lastlog|utmp|auth\.log|secure|syslog|messages|audit/.*|audit|faillog|kern\.log|journal.*"
    r"|\*|\.?$)|$)|run/utmp|log/[^/]*\0[^/]*$)"
)
CRITICAL_FILES = re.compile(
    r"/etc/(?:passwd|shadow|gshadow|group|sudoers(?:\.d(?:/|$)|$)|ld\.so\.preload|pam\.d(?:/|$)|pam\.conf|fstab|securetty"
    r"|audit/|selinux/config|security/)|/lib/[^/]*/security/|/proc/sys/kernel/|/proc/sysrq-trigger"
    r"|/boot/|/sys/(?:fs/selinux|kernel|firmware|module)/|/lib(?:64)?/ld-|/lib(?:/[\w-]+)?/libc[.-]"
    r"|(?:/usr)?/s?bin/(?:sudo|su|ssh|sshd|login|passwd|bash|sh|dash|ls|ps|netstat|ss|mount|cron|crond|init|env|systemctl)$"
)
CRITICAL_NAMES = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers", "/etc/fstab")
PERSISTENCE = re.compile(
    r"/etc/(?:cron[^/]*(?:/|$)|anacrontab|systemd/|init\.d/|rc\d?\.|rc\.local|profile(?:$|\.d/)|bash\.bashrc|xdg/autostart"
    r"|modules(?:$|-load\.d)|apt/apt\.conf|udev/rules\.d|update-motd\.d|environment$|ssh/sshd_config|X11/|init/"
    r"|modprobe\.d|rsyslog|NetworkManager/dispatcher)|/var/spool/(?:cron|at)"
    r"|/(?:usr/)?lib/systemd/(?!$)|/\.ssh/(?:authorized_keys2?|rc|environment)|/\.config/(?:autostart|systemd)/"
    r"|/ca-certificates/|(?<![\w~.-])/Library/(?:Launch(?:Agents|Daemons)|StartupItems|Security/SecurityAgentPlugins)(?:/|$)"
    r"|/etc/(?:emond\.d|periodic)/"
)
NET_CONFIG = re.compile(r"/etc/(?:hosts|resolv\.conf|nsswitch\.conf|hosts\.(?:allow|deny))$")
SCRATCH = re.compile(r"/(?:var/)?tmp/|/dev/shm/|(?:^|/)\.[^./]")
STANDARD_DIRS = re.compile(
    r"(?:/usr)?(?:/local)?/s?bin/([\w.+\[-]+)$|/(?:usr|opt)/(?:ucb|local|homebrew)/bin/([\w.+-]+)$"
)
SYSTEM_FILES = re.compile(r"/dev/(?:null|zero|stdout|stderr|stdin|tty\w*|fd/\d+|pts/\d+|full|console|random|urandom)$")
NETWORK_DEVICE = re.compile(r"/dev/(?:tcp|udp)/")
PRIVATE_LINKS = re.compile(r"^/private/(?=(?:etc|tmp|var)(?:/|$))")
GLOB = re.compile(r"[*?\[]")


def clean(path: str, directory: str | None = None) -> str:
    """The path without `//`, `/./` and `x/..`; made absolute with `directory` when that is known."""
    if directory and path[:1] not in ("/", "~", UNKNOWN) and not path.startswith("-"):
        path = f"{directory}/{path}"
    if path.startswith("/private/"):  # macOS: /etc, /tmp and /var are links
        path = PRIVATE_LINKS.sub("/", path)
    if "//" not in path and "/." not in path and not path.startswith("./"):
        return path if len(path) < 2 or path[-1] != "/" else path[:-1]
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] not in ("..", "~"):
            parts.pop()
        elif part == ".." and path[:1] == "/":
            continue
        elif part not in ("", "."):
            parts.append(part)
    text = "/".join(parts)
    return f"/{text}" if path[:1] == "/" else text or "."


def is_critical_tree(path: str) -> bool:
    """Whether deleting or changing `path` with everything below hits a system directory or a whole home.

    `path/*` is the same as `path`. ~/.. and the home of a named person count.
    """
    base = path
    while base.endswith(("/*", "/.*", "/.", "/.[!.]*", "/{*,.*}")):
        base = base[: base.rindex("/")] or "/"
    if base in CRITICAL_TREES or HOME_OF_SOMEONE.fullmatch(base) or base.startswith("~/..") or base == "~root":
        return True
    if not GLOB.search(base) and UNKNOWN not in base:
        return False
    return base[:1] == "/" and any(could_be(base, tree) for tree in SYSTEM_TREES[1:10])


def is_below_home(path: str) -> bool:
    """Whether `path` is something below a person's home directory."""
    return BELOW_HOME.match(path) is not None


def is_owned_tree(path: str) -> bool:
    """Whether `path` is a tree whose owner and mode belong to the system."""
    base = path.rstrip("/*") or path[:1]
    return base in OWNED_TREES or base.startswith("~/..") or base == "~root"


def could_be(pattern: str, path: str) -> bool:
    """Whether a glob could expand to `path`: as many parts, each matching; a lone `*` or unknown part says nothing."""
    ours, theirs = pattern.split("/"), path.split("/")
    if len(ours) != len(theirs) or all(part in ("", "*", UNKNOWN) for part in ours):
        return False
    return all(
        one == other or (one.strip("*") != "" and UNKNOWN not in one and fnmatchcase(other, one))
        for one, other in zip(ours, theirs, strict=True)
    )


def is_credential(path: str) -> bool:
    """Whether reading `path` reveals passwords, keys or tokens. Public keys do not."""
    if CREDENTIALS.search(path):
        return True
    return GLOB.search(path) is not None and any(could_be(path, file) for file in CREDENTIAL_FILES)


def is_critical_file(path: str) -> bool:
    """Whether writing `path` changes who may log in, what runs, or how the system starts."""
    if CRITICAL_FILES.match(path):
        return True
    return GLOB.search(path) is not None and any(could_be(path, file) for file in CRITICAL_NAMES)


def program_name(word: str) -> str | None:
    """The utility's name when `word` is a bare name or lies in a standard directory; None for any other path."""
    if "/" not in word:
        return word
    found = STANDARD_DIRS.match(word)
    return (found.group(1) or found.group(2)) if found else None


def goes_up(path: str) -> int:
    """How many levels a relative path climbs."""
    return path.count("../") + path.endswith("..") if not path.startswith("/") else 0
