"""Is a line of an answer a command or a sentence? A guess by its first word and its shape, with no parser."""

import re
from functools import cache

from eval.bash.parsing import PROSE_END, known_utilities
from eval.risk.effects import table

FIRST_WORD = re.compile(r"(?:[A-Za-z_]\w*=\S*\s+)*([\w./~+-]+)")
OPTION = re.compile(r"\s-{1,2}[A-Za-z]")
SHELL_SYNTAX = re.compile(
    r"[|;&<>*$`{}=%:]\S|[|;&<>*$`{}=]$|\s\|\s|(?:^|\s)[~.]{0,2}/|(?:^|\s)['\"]\S|\w[./]\w|\s[+\d]\S*"
)
SHELL_START = re.compile(r":\s*\(\)|\{\s|>\s*\S|\[\[? |\$\(|(?:for|while|until|if|case|function|time)\s[^\n]*[;{(]")

# Utilities that a sentence may start with.
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """
    at break case clear command compare continue cut date disown eject exit expand export factor false fg file
    find finger fold free go groups head help history host info install java join kill last less let link local
    locate look make man more mount move open paste patch ping print read reset return route screen script sed seq
    service set shift shred shutdown sleep sort source split start stat stop strings sum tail tee test time top
    touch tree true type unlink users wait wall watch where which while who write yes
        """,
    )
)


def looks_like_command(text: str) -> bool:
    """Starts like a command line and does not read like a sentence.

    A known utility or a path comes first. One that is an English word too needs shell syntax or few words, and an
    unknown name an option. Wrong for sentences such as "find the file in /etc" or "grep searches files".
    """
    if SHELL_START.match(text):
        return True
    first = FIRST_WORD.match(text)
    if first is None:
        return False
    sentence = PROSE_END.search(text.split()[-1]) is not None
    if first[1] not in _names() and "/" not in first[1]:
        name = re.fullmatch(r"[a-z][\w.+-]*", first[1])
        return name is not None and OPTION.search(text) is not None and "`" not in text and not sentence
    if OPTION.search(text) or SHELL_SYNTAX.search(text):
        return True
    return not sentence and (first[1] not in ENGLISH or len(text.split()) <= 3)


@cache
def _names() -> frozenset[str]:
    """Every name that may start a command: those of the nl2bash check and those the analyser knows."""
    return known_utilities() | table().keys()
