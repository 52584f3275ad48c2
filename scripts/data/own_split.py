"""Rows split so that no test request is nearly one that was trained: whole clusters of near-duplicates change sides.

    roots = near_duplicates(requests)            of each request the first of its cluster
    tested = drawn_for_test(roots, ids, share)   the places of the rows to test with

Two requests are near-duplicates when they share SIMILAR of their GRAM letters in a row, as sets (Jaccard); a cluster
holds whatever such pairs connect. MinHash finds the candidates, and the sets themselves decide: chance can only miss a
pair (1 in 100 at the threshold, 1 in 20,000 at 0.8). The same requests in the same order give the same clusters.

Not noticed: the same request in other words.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from datasketch import MinHash, MinHashLSH

from scripts.training.leakage import normal

SEED = 1
GRAM = 4  # letters
SIMILAR = 0.7  # of all grams of the two
LONGEST = 10_000  # letters of a request that are looked at: hashes of more would take memory by the gigabyte
BANDS, IN_BAND = 25, 5  # two requests are compared where all hashes of a band agree


def near_duplicates(requests: Sequence[str]) -> list[int]:
    """Of each request, the place of the first in its cluster. Seconds for 10,000, which take about 100 MB."""
    places: dict[str, int] = {}
    same = [places.setdefault(normal(request), place) for place, request in enumerate(requests)]
    grams = {place: letters(text) for text, place in places.items()}
    index = MinHashLSH(num_perm=BANDS * IN_BAND, params=(BANDS, IN_BAND))
    encoded = ([gram.encode() for gram in grams[place]] for place in grams)
    hashes = MinHash.generator(encoded, num_perm=BANDS * IN_BAND, seed=SEED)
    for place, hashed in zip(grams, hashes, strict=True):
        index.insert(place, hashed)
    root = {place: place for place in grams}
    for table in index.hashtables:
        for bucket in table.keys():  # noqa: SIM118 (a table of datasketch is no mapping)
            _join(sorted(table.get(bucket)), grams, root)
    return [_top(root, place) for place in same]


def _join(bucket: Sequence[int], grams: Mapping[int, frozenset[str]], root: dict[int, int]) -> None:
    """Connect the near-duplicates among requests that may be some. What is connected already is not compared again, so
    that ten thousand forms of one sentence take seconds."""
    groups: list[list[int]] = []
    for place in bucket:
        mine, others = [place], []
        for group in groups:
            if _top(root, group[0]) == _top(root, place) or any(alike(grams[place], grams[one]) for one in group):
                one, two = sorted((_top(root, place), _top(root, group[0])))
                root[two] = one
                group += mine
                mine = group
            else:
                others.append(group)
        groups = [*others, mine]


def letters(text: str) -> frozenset[str]:
    """The grams of a normalised request; of one shorter than a gram, itself."""
    padded = f" {text[:LONGEST]} "
    return frozenset(padded[start : start + GRAM] for start in range(max(1, len(padded) - GRAM + 1)))


def alike(one: frozenset[str], two: frozenset[str]) -> bool:
    """Whether two requests are near-duplicates."""
    return len(one & two) >= SIMILAR * len(one | two)


def _top(root: dict[int, int], place: int) -> int:
    while root[place] != place:
        root[place] = root[root[place]]
        place = root[place]
    return place


def drawn_for_test(roots: Sequence[int], names: Sequence[str], share: float) -> set[int]:
    """The places of about `share` of the rows, in whole clusters, drawn by a digest of the name of each one's first.

    At least one cluster stays on each side where there are two; a cluster that is larger than what is still wanted is
    left to training, so that large ones are rarer in the test.
    """
    sizes = Counter(roots)
    wanted, tested = max(1, round(share * len(roots))), set[int]()
    taken = 0
    order = sorted(sizes, key=lambda root: hashlib.sha256(f"{SEED}/{names[root]}".encode()).digest())
    for root in order:
        if taken + sizes[root] <= wanted and len(tested) + 1 < len(sizes):
            tested.add(root)
            taken += sizes[root]
    if not tested and len(sizes) > 1:
        tested.add(min(order, key=lambda root: sizes[root]))
    return {place for place, root in enumerate(roots) if root in tested}
