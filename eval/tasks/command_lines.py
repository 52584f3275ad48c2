"""Is a line of an answer a command or a sentence? A guess by its first word and its shape, with no parser."""

import re

from eval.tasks.nl2bash import PROSE_END, known_utilities

FIRST_WORD = re.compile(r"(?:[A-Za-z_]\w*=\S*\s+)*([\w./~+-]+)")
OPTION = re.compile(r"\s-{1,2}[A-Za-z]")
SHELL_SYNTAX = re.compile(r"[|;&<>*$`{}=%:]\S|[|;&<>*$`{}=]$|(?:^|\s)[~.]{0,2}/|(?:^|\s)['\"]\S|\w[./]\w|\s[+\d]\S*")
SHELL_START = re.compile(r":\s*\(\)|\{\s|>\s*\S|\[\[? |\$\(|(?:for|while|until|if|case|function|time)\s[^\n]*[;{(]")


def looks_like_command(text: str) -> bool:
    """Starts like a command line and does not read like a sentence.

    A known utility or a path comes first, with shell syntax or few words; another name needs an option as well.
    Wrong for sentences such as "find the file in /etc", and for unknown commands without an option.
    """
    if SHELL_START.match(text):
        return True
    first = FIRST_WORD.match(text)
    if first is None:
        return False
    sentence = PROSE_END.search(text.split()[-1]) is not None
    if first[1] not in known_utilities() and "/" not in first[1]:
        name = re.fullmatch(r"[a-z][\w.+-]*", first[1])
        return name is not None and OPTION.search(text) is not None and "`" not in text and not sentence
    if OPTION.search(text) or SHELL_SYNTAX.search(text):
        return True
    return len(text.split()) <= 3 and not sentence
