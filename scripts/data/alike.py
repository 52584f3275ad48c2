"""Is this text one of those, word for word, with other names in it, nearly, or somewhere inside?

    known = NearTexts(["how long has this machine been up"], similar=0.85)
    known.find("How long has this machine been up, then?")     0: its place; None when none is near

Near: both share `similar` of their GRAM letters in a row, as sets (Jaccard). Every pair above it is found: rare grams
are looked up first, and two sets that share none of their rarest ones cannot be near (prefix filtering; Chaudhuri et
al., ICDE 2006; Bayardo et al., WWW 2007). MinHash (datasketch) would miss some pairs by chance and takes fifteen times
as long per text; it stays in own_split.py, where all rows are compared with all.

Not noticed: the same request in other words.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Any

GRAM = 4  # letters
LONGEST = 10_000  # letters of a text that are looked at: hashes of more would take memory by the gigabyte
WORDS = 8  # in a row, which two texts hardly share by chance (PaLM, appendix C: 8-grams)
OF_ITS_GRAMS = 0.7  # of a test's word grams, found in a row: then the row holds the test (the same source)
PLAIN_WORDS = 4  # that a template has beside its names: `remove <name>` is nobody's
NAMED = re.compile(r"'[^']{0,200}'|\"[^\"]{0,200}\"|`[^`]{0,200}`|\S{0,200}[\d/._*~$\\-]\S{0,200}")


def normal(text: str) -> str:
    """A request without what does not change it."""
    return " ".join(text.split()).casefold().strip(" .!?:;")


def template(text: str) -> str:
    """A normalised request with quoted text, paths, file names and numbers masked; empty where little else is left."""
    masked = normal(NAMED.sub("<>", normal(text[:LONGEST])))
    return masked if sum(word != "<>" for word in masked.split()) >= PLAIN_WORDS else ""


def letters(text: str) -> frozenset[str]:
    """The grams of a normalised request; of one shorter than a gram, itself."""
    padded = f" {text[:LONGEST]} "
    return frozenset(padded[start : start + GRAM] for start in range(max(1, len(padded) - GRAM + 1)))


def word_grams(text: str) -> list[str]:
    """Every WORDS words in a row of a normalised text."""
    words = re.findall(r"\w+", text[:LONGEST])
    return [" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1)]


def alike(one: Set[Any], two: Set[Any], similar: float) -> bool:
    """Whether two sets of grams share so much of all their grams."""
    return len(one & two) >= similar * len(one | two)


class NearTexts:
    """Normalised texts, to find the nearest one of."""

    def __init__(self, known: Sequence[str], similar: float) -> None:
        self.similar = similar
        self.grams = [letters(text) for text in known]
        often = Counter(gram for grams in self.grams for gram in grams)
        ordered = sorted(often, key=lambda gram: (often[gram], gram))
        self.rank = {gram: rank for rank, gram in enumerate(ordered)}  # the rarest first
        self.known = frozenset(ordered)
        self.places: dict[str, list[int]] = defaultdict(list)
        for place, grams in enumerate(self.grams):
            for gram in self._rarest(grams):
                self.places[gram].append(place)

    def _rarest(self, grams: frozenset[str]) -> list[str]:
        """As many of a set's rarest grams as two near sets must share one of, but for those that no known text has."""
        known = grams & self.known
        wanted = len(grams) - math.ceil(self.similar * len(grams)) + 1 - (len(grams) - len(known))
        return sorted(known, key=self.rank.__getitem__)[: max(wanted, 0)]

    def find(self, text: str) -> int | None:
        """The place of the nearest text, the first of equals; None when none is near."""
        grams = letters(text)
        if len(grams & self.known) < self.similar * len(grams):
            return None
        candidates = {place for gram in self._rarest(grams) for place in self.places.get(gram, ())}
        near = [place for place in candidates if alike(grams, self.grams[place], self.similar)]
        return min(near, key=lambda place: (-self._share(grams, place), place), default=None)

    def _share(self, grams: frozenset[str], place: int) -> float:
        return len(grams & self.grams[place]) / len(grams | self.grams[place])


@lru_cache(maxsize=4)
def near_texts(known: tuple[str, ...], similar: float) -> NearTexts:
    """One for the same texts, whoever asks: that of our test sets takes half a second to make."""
    return NearTexts(known, similar)


class HeldTexts:
    """Normalised texts, to find one that stands inside another text."""

    def __init__(self, known: Sequence[str]) -> None:
        grams = [set(word_grams(text)) for text in known]
        self.needed = [max(1, math.ceil(OF_ITS_GRAMS * len(found))) for found in grams]
        self.places: dict[str, list[int]] = defaultdict(list)
        for place, found in enumerate(grams):
            for gram in found:
                self.places[gram].append(place)

    def find(self, text: str) -> int | None:
        """The first place whose text is mostly inside; one of fewer than WORDS words never is."""
        held = Counter(place for gram in set(word_grams(text)) for place in self.places.get(gram, ()))
        return min((place for place, count in held.items() if count >= self.needed[place]), default=None)
