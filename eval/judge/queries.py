"""Queries of the machine: commands that ask the same fact of the running system, by their manuals.

What such a command prints (load, memory, processes, limits) moves while it is read and depends on no file of a
fixture, so neither one run nor perturbed copies can compare two of them. This table can, for what it lists. It was
written with the rows of InterCode-ALFA in view: the benchmark reports the ladder with and without it.
"""

import re

from eval.judge.spelling import canonical

# Fact -> patterns of whole canonical commands (words joined by blanks, flags sorted).
FACTS = {
    "boot time": r"who -b|uptime -s|last reboot.*",
    "time since boot": r"uptime(?: -p)?",
    "load": r"w(?: -[hsf])*|uptime|cat /proc/loadavg",
    "statistics of the system": r"vmstat(?: -t)?",
    "memory": r"free(?: -[bkmgh])?|cat /proc/meminfo|vmstat -s|lsmem",
    "swap": r"swapon (?:--show|-s)|cat /proc/swaps|free(?: -[bkmgh])? \| grep (?:-i )?[Ss]wap",
    "processors": r"lscpu|cat /proc/cpuinfo",
    "number of processors": r"nproc|getconf _NPROCESSORS_ONLN|grep -c \^?processor /proc/cpuinfo",
    "kernel": r"uname -[arv]|cat /proc/version",
    "disks": r"df(?: -[hkmT])*",
    "block devices": r"lsblk(?: -[af])?",
    "processes": r"ps(?: -[eA]f?| aux| -aux)?",
    "process tree": r"pstree(?: -[ap])*|ps -e(?:jH|f) ?(?:--forest)?|ps -eo \S+ --forest|ps axjf|ps auxf",
    "shell's own process": r"echo \$\$|pidof bash|echo \$BASHPID",
    "jobs": r"jobs(?: -[lp])?",
    "history": r"history(?: \| cut -c ?\d+-)?|fc -l.*",
    "packages": r"dpkg (?:-l|--list|--get-selections)|apt list --installed|dpkg-query -l",
    "description of a package": r"(?:apt(?:-cache)? show|dpkg -s|dpkg-query -s|aptitude show) ([\w.+-]+)",
    "user": r"whoami|id -n -u|id -un|echo \"?\$(?:USER|LOGNAME)\"?|logname",
    "user's ids": r"id(?: -u)?",
    "shell": r"echo \"?\$(?:0|SHELL)\"?",
    "host name": r"hostname(?: -f)?|uname -n|cat /etc/hostname",
    "addresses": r"hostname -[iI]",
    "login records": r"last(?: -[aFwi])*",
    "limit of processor time": r"ulimit -t|prlimit --cpu",
    "version of openssl": r"openssl version(?: -a)?",
    "kernel parameters": r"sysctl -a",
    "address of a name": r"(?:nslookup|dig(?: \+short)?|host|getent hosts) ([\w.-]*[a-z])",
    "name of an address": r"(?:dig -x|nslookup|host) ([\d.]+)",
    "public address": r"curl(?: -s)? (?:https?://)?(?:ipinfo\.io/ip|ifconfig\.me(?:/ip)?|icanhazip\.com|api\.ipify\.org)",
    "routes": r"(?:netstat -r|route|ip route)(?: -n)?",
}


def facts_asked(command: str) -> frozenset[tuple[str, ...]]:
    """The facts a command asks for, each with its operand if it has one; empty for everything not in the table."""
    words = canonical(command, "")
    if words is None:
        return frozenset()
    text = " ".join(words).replace("$ ", "$")  # the parser takes `$$` and `$USER` apart
    return frozenset(
        (fact, *("" if match.re.groups != 1 else match.group(1) or "",))
        for fact, pattern in FACTS.items()
        if (match := re.fullmatch(pattern, text))
    )
