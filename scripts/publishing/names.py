"""Names and texts that people choose, before they stand on a public page: tags, repositories, reviewers, comments.

    tag_problem("v1.0.lock")  ->  "ends with .lock"      None for a tag that git and the Hub take as one
    name_problem("Аda")       ->  "mixes Cyrillic and Latin letters"
    plain("see Аda")          ->  "see U+0410da"         a word of several alphabets, with its letters written out

A reviewer's name is letters of one writing system, digits and a few signs, so that nothing in it reads as a sentence of
the card's own. A name that is not in Latin letters is shown with its writing system.

Not protected against: words. A comment can still say anything, and a name can be somebody else's.
"""

import re
import unicodedata

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

LONGEST_TAG = 200
PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DIGEST = re.compile(r"[0-9a-fA-F]{7,}")  # git and the Hub take such a name for a commit
# Names that mean something else than a tag to git or to the Hub.
TAKEN = ("main", "master", "head", "fetch_head", "orig_head", "merge_head", "cherry_pick_head", "refs")
NAME_SIGNS = " .'’-_@+"
TOGETHER = ({"HAN", "HIRAGANA", "KATAKANA"}, {"HAN", "HANGUL"}, {"HAN", "BOPOMOFO"})
LAST_LATIN, ADDED_LATIN = 0x24F, range(0x1E00, 0x1F00)  # of languages; beyond are phonetic and styled look-alikes


def repo_problem(repo: str) -> str | None:
    """What keeps a name from being OWNER/NAME on the Hub; None for one that is."""
    owner, slash, name = repo.partition("/")
    if not slash or not PART.fullmatch(owner) or not PART.fullmatch(name):
        return "is not OWNER/NAME of letters, digits, `-`, `_` and `.`, neither starting nor ending with `-` or `.`"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        return f"is not OWNER/NAME as the Hub takes it: {str(error).split(': ')[0]}"
    return None


def tag_problem(tag: str) -> str | None:
    """What keeps a name from being a tag that means itself alone; None for one that does."""
    if not TAG.fullmatch(tag) or len(tag) > LONGEST_TAG:
        return f"is not 1 to {LONGEST_TAG} letters, digits, `.`, `_` and `-`, starting with a letter or digit"
    if ".." in tag or tag.endswith("."):
        return "has two dots in a row, or one at its end"
    if tag.endswith(".lock"):
        return "ends with .lock"
    if DIGEST.fullmatch(tag):
        return "reads as a commit"
    return "is a branch or another name of git's own" if tag.lower() in TAKEN else None


def name_problem(name: str) -> str | None:
    """What keeps a text from being a person's name on a card; None for one that is."""
    if not name.strip() or not name.isprintable():
        return "has invisible letters, or none"
    if unicodedata.normalize("NFKC", name) != unicodedata.normalize("NFC", name):
        return "has styled look-alikes of other letters"
    for letter in name:
        if letter not in NAME_SIGNS and unicodedata.category(letter)[0] not in "LM" and not letter.isdecimal():
            return f"has {letter!r}: a name is letters, digits and {NAME_SIGNS.strip()}"
    found = alphabets(name)
    if "" in found:
        return "has letters of no known writing system"
    if len(found) > 1 and not any(found <= together for together in TOGETHER):
        return f"mixes {' and '.join(sorted(one.title() for one in found))} letters"
    return None


def shown_name(name: str) -> str:
    """A name as the card shows it: with its writing system, where that is not Latin."""
    others = sorted(one.title() for one in alphabets(name) - {"LATIN"})
    return f"{name} (in {' and '.join(others)} letters)" if others else name


def plain(text: str) -> str:
    """One line of text, in which a word that mixes alphabets has its letters beyond ASCII written as code points."""
    return " ".join(word if len(alphabets(word)) < 2 or _together(word) else _spelled(word) for word in text.split())


def alphabets(text: str) -> set[str]:
    """Writing systems of a text's letters; an empty name for letters that belong to none that languages use."""
    return {_alphabet(letter) for letter in text if unicodedata.category(letter)[0] == "L"}


def _together(word: str) -> bool:
    return any(alphabets(word) <= together for together in TOGETHER)


def _spelled(word: str) -> str:
    return "".join(letter if letter.isascii() else f"U+{ord(letter):04X}" for letter in word)


def _alphabet(letter: str) -> str:
    first = unicodedata.name(letter, "").split(" ")[0]
    if first == "LATIN":
        return first if ord(letter) <= LAST_LATIN or ord(letter) in ADDED_LATIN else ""
    return "HAN" if first in ("CJK", "IDEOGRAPHIC") else first
