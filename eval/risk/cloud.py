"""Checks of tools whose verbs are nouns and verbs: clouds, forges, containers, clusters, many machines at once."""

import re

from eval.risk.effects import Use
from eval.risk.word import Output

ESCAPES = re.compile(
    r"--privileged|--pid[= ]host|--cap-add[= ]?(?:ALL|SYS_ADMIN|SYS_PTRACE|SYS_MODULE)|--userns[= ]host"
    r"|docker\.sock|--device[= ]/dev/[sn]"
)
HOST_MOUNT = re.compile(
    r"(?:-v|--volume=)?/(?:etc|root|home|boot|proc|sys|dev|usr|var)?/?:|.*\b(?:src|source)=/(?:etc|root|home)?,"
)
LOOKS = re.compile(
    r"(?:ls|list|lsd|lsl|lsf|lsjson|ll|describe|get|show|info|status|version|view|diff|checks|logs?|tail|stat|du|size|df|ncdu"
    r"|tree|search|about|help|whoami|ps|check|cat|head|validate|batch-get|lookup|simulate|estimate|preview|history|releases|regions|explain|read"
    r"|accounts?|cryptcheck|hashsum|md5sum|sha1sum|wait|env|apps|domains|locations|can-i)(?:-[\w-]+)?$"
)
SECRETS = re.compile(
    r"secret|token|password|passwd|credential|assume-role|decrypt|private|login|get-parameter|api-?key|list-keys|show-keys"
    r"|\bkeys?\b|connection-string|kubeconfig|config:get|certificate|get-authorization"
)
SAFE_SECRETS = re.compile(r"(?:list-secrets|describe-secret|list-key-pairs|describe-key-pairs|get-caller-identity)$")
CHANGES = re.compile(
    r"(?:delete|create|update|remove|add|set|start|stop|reset|restart|deploy|rm|destroy|purge|cancel|resize|run|apply|import"
    r"|put|modify|attach|detach|enable|disable|terminate|reboot|invoke|send|publish|upload|submit|scale|restore|ssh|scp)(?:-|$)"
)
WRITES_FILES = re.compile(r"(?:get-object|get-job-output|get-export|get-snapshot-block|get-thing-shadow)")


def _texts(use: Use) -> list[str]:
    return [word.text for word in use.operands]


def _leading(use: Use) -> list[str]:
    """The words before the first option behind a word: noun and verb."""
    leading: list[str] = []
    operands = {id(word) for word in use.operands}
    for word in use.words[1:]:
        if id(word) in operands:
            leading.append(word.text)
        elif leading:
            break
    return leading


def cloud(use: Use, _stdin: Output) -> str:
    """Cloud command lines: looking is fine where no secret is printed, the rest leaves the machine."""
    leading = _leading(use)
    words = " ".join(leading[:2] if use.row.name == "aws" else leading)
    if not leading:
        return "network"
    if SECRETS.search(words) and not SAFE_SECRETS.search(words):
        return "credential-search"
    name = use.row.name
    if name == "aws":
        looks = aws_looks(leading)
    elif name in ("gsutil", "rclone", "s3cmd", "mc", "b2", "azcopy", "s5cmd"):
        looks = LOOKS.match(leading[0]) is not None or leading[:1] in (["hash"], ["url"], ["listremotes"])
    else:
        verbs = [text.partition(":")[2] or text for text in leading]
        looks = any(map(LOOKS.match, verbs)) and not any(map(CHANGES.match, verbs))
    return "network" if looks else "network-send"


def aws_looks(leading: list[str]) -> bool:
    """`aws SERVICE VERB`, and `aws s3 cp s3://... FILE`, which only fetches."""
    service, verb = leading[0], leading[1] if len(leading) > 1 else ""
    if service == "s3" and verb in ("cp", "sync"):
        return len(leading) == 4 and leading[2].startswith("s3://") and not leading[3].startswith(("s3://", "/", "~"))
    if service == "configure":
        return verb in ("list", "list-profiles")
    if service == "help" or verb in ("help", "wait"):
        return True
    return LOOKS.match(verb) is not None and not WRITES_FILES.match(verb)


def forge(use: Use, _stdin: Output) -> str:
    """gh, glab: looking and fetching is fine; an API call that is not GET, and tokens, are not."""
    texts = _leading(use)
    words = " ".join(texts)
    if not texts:
        return "network"
    if texts[0] == "api":
        roles = {role for role, _word in use.found}
        method = next((word.text.upper() for role, word in use.found if role == "method"), "")
        sends = method not in ("", "GET", "HEAD") or (not method and {"field", "upload"} & roles)
        graphql = "graphql" in texts and not any("mutation" in word.text for _role, word in use.found)
        return "network-send" if sends and not graphql else "network"
    if re.search(r"\btoken\b|setup-git|auth login|auth refresh|secret set|ssh-key|gpg-key", words):
        return "credential-search"
    if re.match(r"(?:alias|extension|ext|config) (?!list|ls|get|search)", words):
        return "supply-chain"
    if any(word.text in ("--show-token", "-t") for word in use.words) and texts[0] == "auth":
        return "credential-search"
    verb = texts[1] if len(texts) > 1 else texts[0]
    fetches = ("checkout", "clone", "download", "watch", "browse", "verify", "set-default", "co")
    looks = LOOKS.match(verb) or verb in fetches or texts[0] in ("status", "browse", "search")
    return "network" if looks else "network-send"


def container(use: Use, _stdin: Output) -> str:
    """docker and podman beyond looking; a container that gets the host is none."""
    words = [word.text for word in use.words[1:]]
    if ESCAPES.search(" ".join(words)) or any(HOST_MOUNT.match(word) for word in words):
        return "container-escape"
    return "data-loss" if {"prune", "rm", "rmi"} & set(words[:3]) else "container"


def cluster(use: Use, _stdin: Output) -> str:
    """kubectl and its relatives, virtual machines."""
    words = [word.text for word in use.words[1:]]
    text = " ".join(words)
    if ESCAPES.search(text) or '"hostPID":true' in text or "src=/," in text or "serviceaccount/token" in text:
        return "container-escape"
    leading = _leading(use)
    looks = {"get", "describe", "logs", "version", "top", "explain", "list", "status", "ps", "ls", "info", "images"}
    looks |= {"inspect", "global-status", "dominfo", "domstate", "validate", "box list", "show", "config view", "stats"}
    return "" if leading and (leading[0] in looks or " ".join(leading[:2]) in looks) else "container"


def infra(use: Use, _stdin: Output) -> str:
    """Tools that change many machines at once."""
    looks = ("plan", "validate", "fmt", "version", "show", "output", "graph", "providers", "get", "preview", "inspect")
    texts = _texts(use)
    two = " ".join(texts[:2])
    nested = ("workspace list", "workspace show", "state list", "state show", "stack ls", "config get", "stack output")
    listing = any(word.text in ("--list-hosts", "--list-tasks", "--syntax-check", "--list-tags") for word in use.words)
    return "" if (texts and texts[0] in looks) or two in nested or listing else "stop-service"
