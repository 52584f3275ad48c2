"""Variables that choose code: every way to set one is seen, and what ordinary people set is let through."""

from collections.abc import Iterable

from eval.risk import analyse
from eval.risk.catalogue import sections
from eval.risk.variables import meaning_of

# Each way to set a variable, with the name and the value to fill in.
SETTERS = [
    "{0}={1}; ls", "{0}={1} ls", "export {0}={1}", "export -n {0}={1}", "declare {0}={1}", "declare -x {0}={1}",
    "typeset {0}={1}", "local {0}={1}", "readonly {0}={1}", "env {0}={1} ls", "sudo {0}={1} ls",
    "env -i A=1 {0}={1} ls",
    "printf -v {0} %s {1}", "printf -v{0} {1}", "read {0} <<< {1}", "read -r A {0} <<< 'a {1}'",
    "mapfile -t {0} <<< {1}",
    "for {0} in {1}; do ls; done", "select {0} in {1}; do ls; done", ": ${{{0}:={1}}}", ": ${{{0}={1}}}",
    "declare -n R={0}; R={1}", "{0}=; {0}+={1}", "x={0}={1}; export $x", "export $(echo {0}={1})",
    "if ls; then {0}={1}; fi",
    "f() {{ {0}={1}; }}; f", "eval {0}={1}", "source <(echo {0}={1})", "export 2>log {0}={1}",
    "command export {0}={1}",
    "builtin declare -x {0}={1}", "bash -c '{0}={1} ls'", "{0}[0]={1}", "{0}=({1})",
]  # fmt: skip
RISKY = {
    "PATH": "./work/bin", "LD_PRELOAD": "/tmp/a.so", "GIT_EXTERNAL_DIFF": "./diff", "GIT_CONFIG_GLOBAL": "/tmp/c",
    "RIPGREP_CONFIG_PATH": "rc", "npm_config_script_shell": "./sh", "AWS_PAGER": "./page", "BASH_ENV": "env.sh",
    "PERL5DB": "BEGIN{}", "NODE_OPTIONS": "--require=./a.js", "DOTNET_STARTUP_HOOKS": "a.dll", "GIT_EDITOR": "./edit",
}  # fmt: skip
MORE_RISKY = [
    "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.editor GIT_CONFIG_VALUE_0=./x git commit", "GIT_SSH=./x git pull",
    "GIT_SSH_COMMAND='ssh -o ProxyCommand=./x' git fetch", "GIT_ASKPASS=./x git fetch",
    "GIT_PROXY_COMMAND=./x git fetch",
    "GIT_SEQUENCE_EDITOR=./x git rebase -i main", "SYSTEMD_PAGER=./x systemctl status", "PAGER=sh git log",
    "EDITOR=sh git commit", "LESSOPEN='|./x %s' less f", "TAR_OPTIONS=--to-command=./x tar tf a.tar",
    "WGETRC=rc wget e.example",
    "CURL_HOME=. curl e.example", "OPENSSL_CONF=c openssl version", "RUSTC_WRAPPER=./x cargo check",
    "GOFLAGS=-toolexec=./x go vet", "PIP_INDEX_URL=https://evil.example pip list", "MANOPT='-P sh' man ls",
    "LESS='+!id' less f", "MAKEFLAGS='--eval=x:' make -n", "JAVA_TOOL_OPTIONS=-javaagent:a.jar java -version",
    "HOME=/tmp/h git status", "XDG_CONFIG_HOME=/tmp/h git status", "PATH=/tmp:$PATH ls", "PATH=bin:$PATH ls",
    "PATH=:$PATH ls", "read -r PATH < f", "mapfile PATH < f", "getopts ab PATH", "CC=./x cargo check",
    "KUBECONFIG=/tmp/k kubectl get pods", "GIT_DIR=/tmp/evil/.git git log", "PS1='$(./x)'", "BASH_FUNC_ls%%=x env ls",
    "env 'BASH_FUNC_ls%%=() { ./x; }' bash -c ls",
]  # fmt: skip
ORDINARY = [
    "PAGER=cat git log", "GIT_PAGER=cat git diff", "GIT_PAGER= git diff",
    "export PAGER=less EDITOR=vim VISUAL='code --wait'",
    "GIT_EDITOR=true git rebase --continue", "GIT_EDITOR=: git commit --amend",
    "GIT_SEQUENCE_EDITOR=true git rebase main",
    "GIT_SSH_COMMAND='ssh -i ~/.ssh/deploy -p 22' git fetch", "GIT_TERMINAL_PROMPT=0 git fetch",
    "GIT_TRACE=1 git status",
    "GIT_DIR=.git git status", "NODE_OPTIONS=--max-old-space-size=4096 npm ls", "NODE_ENV=test npm ls",
    "LESS=-R less f",
    "MAKEFLAGS=-j4", "JAVA_OPTS=-Xmx2g", "npm_config_loglevel=error npm ls", "npm_config_yes=true npm ls",
    "CFLAGS=-O2",
    "export PATH=$HOME/.local/bin:$PATH", 'export PATH="$PWD/node_modules/.bin:$PATH"',
    "PATH=node_modules/.bin:$PATH ls",
    "PATH=$PATH:/usr/local/go/bin ls", "export PATH=/opt/tool/bin:$PATH", "PATH=.venv/bin:$PATH ls", "LC_ALL=C sort f",
    "TZ=UTC date", "DEBUG=1 VERBOSE=yes ls", "CC=gcc", "KUBECONFIG=~/.kube/dev kubectl get pods", "SHELL=/bin/bash ls",
    "HOME=/root ls", "export PS1='\\w\\$ '", "read -r name < f", "for lang in en de; do echo $lang; done",
    "EDITOR= ls",
    "RUSTFLAGS='-C opt-level=3'", "BROWSER=firefox", "export LS_COLORS=di=1", "COLUMNS=80 ls",
    "DEBIAN_FRONTEND=noninteractive ls",
]  # fmt: skip


def judged_otherwise(verdict: str, commands: Iterable[str]) -> list[str]:
    return [command for command in commands if analyse(command).verdict != verdict]


def test_every_way_to_set_a_variable_that_chooses_code_is_seen() -> None:
    set_so = [setter.format(name, value) for setter in SETTERS for name, value in RISKY.items()]
    assert judged_otherwise("review", set_so) == []


def test_the_same_ways_with_a_name_of_no_meaning_are_allowed() -> None:
    assert judged_otherwise("allow", [setter.format("COLOUR", "green") for setter in SETTERS]) == []


def test_variables_that_choose_code_are_reviewed() -> None:
    assert judged_otherwise("review", MORE_RISKY) == []


def test_ordinary_variables_are_allowed() -> None:
    assert judged_otherwise("allow", ORDINARY) == []


def test_a_command_in_a_variable_is_judged_as_one() -> None:
    assert analyse("GIT_SSH_COMMAND='rm -rf /etc;' git fetch").verdict == "block"
    assert analyse("PAGER='less -R' git log").verdict == "allow"
    assert analyse("PAGER='sh -c id' git log").verdict == "review"


def test_every_listed_name_has_a_meaning_and_no_exception_has_one() -> None:
    for section in sections("variables").values():
        for entry in section:
            for name in entry["names"].split():
                if name not in entry.get("except", "").split():
                    assert meaning_of(name.replace("*", "X")) is not None, name
            for name in entry.get("except", "").split():
                assert meaning_of(name) is None, name
