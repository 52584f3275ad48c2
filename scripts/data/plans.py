"""What a command does to what exists, and the white space that says so in front of it: the plan of a small model.

    plan(command)     'look', 'add' or 'change'
    planned(command)  the command behind the mark of its plan, which Bash ignores

A small model decides token by token. Without a mark the first token says which of a hundred utilities follows, and
`find ... -type f` may still end in `-delete`. With one, the first token says whether anything is to be touched at all.
The marks of `look` and `add` are tokens of their own, in which the probability of all such commands adds up. `change`
has no such token: its blank belongs to the utility's (` rm`, ` chmod`), so that one way of changing something has to be
likelier than all ways of leaving it alone together, and than refusing.
"""

import re
from typing import Literal

Plan = Literal["look", "add", "change"]
MARKS: dict[Plan, str] = {"look": "\t", "add": "\n", "change": " "}

# Each is searched for at the start of a command, after `sudo`, and behind the words that run another.
START = r"(?:^|[|;&] *|-exec |xargs (?:-\S+ )*)(?:sudo )?"
# Something that exists goes, moves, or gets other contents, another mode or owner; a process or a service is disturbed.
CHANGE = re.compile(
    START + r"(?:(?:rm|rmdir|mv|shred|truncate|dd|chmod|chown|chgrp|mkfs\.\w+|mkswap|kill|pkill|renice|umount|passwd)\b"
    r"|sed (?:\S+ )*-i|sort (?:\S+ )*-o|gunzip (?!.*-k)|gzip (?!.*-k)|cp -f|ln -\w*f|fuser -k"
    r"|docker rmi|apt remove|systemctl restart"
    r"|git (?:restore|reset|clean (?!-n)|rm|switch (?!-c)|branch -[dD]|stash drop))|^find\b.* -delete\b"
)
# Something new is written, and nothing is lost by it.
ADD = re.compile(
    START + r"(?:(?:cp|mkdir|touch|ln|zip|rsync|scp|ssh-keygen|ssh-copy-id)\b|tar -[cx]|unzip (?!-l)|gzip -k|gunzip -k"
    r"|gpg -c|curl (?:\S+ )*-[oO]|systemctl enable|git (?:add|commit|switch -c|tag \S|stash$))|[^0-9&]> ?(?!/dev/null)"
)


def plan(command: str) -> Plan:
    """What the command is meant to do to what exists. Quoted text is no part of what is looked at."""
    bare = re.sub(r"'[^']*'", "''", command.strip())
    if CHANGE.search(bare):
        return "change"
    return "add" if ADD.search(bare) else "look"


def planned(command: str) -> str:
    return MARKS[plan(command)] + command
