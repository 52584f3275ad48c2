"""Rows split so that no test request is nearly one that was trained: whole clusters of near-duplicates change sides.

    roots = near_duplicates(requests)            of each request the first of its cluster
    tested = drawn_for_test(roots, ids, share)   the places of the rows to test with

Two requests are near-duplicates when they share SIMILAR of their GRAM letters in a row, as sets (Jaccard); a cluster
holds whatever such pairs connect. MinHash finds the candidates, and the sets themselves decide: chance can only miss a
pair (1 in 100 at the threshold, 1 in 20,000 at 0.8). The same requests in the same order give the same clusters.

Not noticed: the same request in other words.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from datasketch import MinHash

from scripts.data.alike import alike, letters, normal

SEED = 1
SIMILAR = 0.7  # of all grams of the two
BANDS, IN_BAND = 25, 5  # two requests are compared where all hashes of a band agree


def near_duplicates(requests: Sequence[str]) -> list[int]:
    """Of each request, the place of the first in its cluster. Seconds for 10,000; 100,000 take 200 MB."""
    places: dict[str, int] = {}
    same = [places.setdefault(normal(request), place) for place, request in enumerate(requests)]
    numbers: dict[str, int] = {}
    # Sets of texts would take a gigabyte for 100,000 requests.
    grams = {
        place: array("I", sorted(numbers.setdefault(gram, len(numbers)) for gram in sorted(letters(text))))
        for text, place in places.items()
    }
    root = {place: place for place in grams}
    for bucket in _buckets(list(places.values()), places):
        _join(bucket, grams, root)
    return [_top(root, place) for place in same]


def _buckets(places: Sequence[int], texts: Iterable[str]) -> Iterator[list[int]]:
    """Places of texts whose hashes agree in all of a band: candidates for near-duplicates."""
    encoded = ([gram.encode() for gram in letters(text)] for text in texts)
    table = np.empty((len(places), BANDS, IN_BAND), dtype=np.uint32)
    for row, hashed in enumerate(MinHash.generator(encoded, num_perm=BANDS * IN_BAND, seed=SEED)):
        table[row] = hashed.hashvalues.reshape(BANDS, IN_BAND)
    for band in range(BANDS):
        rows = table[:, band]
        order = np.lexsort(rows.T)  # stable: places stay in order within a bucket
        ends = np.flatnonzero(np.any(rows[order[1:]] != rows[order[:-1]], axis=1)) + 1
        yield from ([places[one] for one in part] for part in np.split(order, ends) if len(part) > 1)


def _join(bucket: Sequence[int], grams: Mapping[int, Sequence[int]], root: dict[int, int]) -> None:
    """Connect the near-duplicates among requests that may be some. What is connected already is not compared again, so
    that ten thousand forms of one sentence take seconds."""
    groups: list[list[int]] = []
    for place in bucket:
        mine, others, own = [place], [], frozenset(grams[place])
        for group in groups:
            near = (alike(own, frozenset(grams[one]), SIMILAR) for one in group)
            if _top(root, group[0]) == _top(root, place) or any(near):
                one, two = sorted((_top(root, place), _top(root, group[0])))
                root[two] = one
                group += mine
                mine = group
            else:
                others.append(group)
        groups = [*others, mine]


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
