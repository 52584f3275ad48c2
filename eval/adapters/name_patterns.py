"""Patterns over module names that cost little to match: what adapter_config.json may hold of regular expressions.

    bounded_pattern("layers.[0-9]+.(q|k|v)_proj")  ->  True

Readers run them over every module's name, with Python's backtracking engine. A name has some 60 characters, so that
two repetitions cost thousands of steps at most; a repeated group can cost more steps than there is time.
"""

import re

LONGEST = 200
MOST_REPETITIONS = 2
LETTERS = re.compile(r"[\w.|^$()\[\]*+?\\-]+", re.ASCII)
ESCAPES = re.compile(r"\\[^.dw]")  # a dot, a digit, a letter of a name: nothing else needs one
REPEATED_GROUP = re.compile(r"\)[*+?]|[*+?]{2}")


def bounded_pattern(text: object) -> bool:
    """Whether a text is a regular expression over names that ends soon on any name."""
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST or not LETTERS.fullmatch(text):
        return False
    if ESCAPES.search(text) or REPEATED_GROUP.search(text) or "(?" in text:
        return False
    if sum(text.count(letter) for letter in "*+?") > MOST_REPETITIONS:
        return False
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
