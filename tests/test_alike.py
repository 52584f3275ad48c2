"""Near, inside, of one template: held against all pairs, and against what must stay apart."""

import random

import pytest

from scripts.data.alike import HeldTexts, NearTexts, alike, letters, normal, template

WORDS = ["show", "list", "count", "find", "the", "largest", "oldest", "files", "folders", "lines", "of", "in", "below",
         "tmp", "home", "that", "were", "changed", "today"]  # fmt: skip


def sentences(count: int) -> list[str]:
    """Sentences in families, so that many pairs are near and many just not."""
    draw = random.Random(7)
    found: list[str] = []
    while len(found) < count:
        words = draw.choices(WORDS, k=draw.randint(4, 14))
        found.append(" ".join(words))
        for _ in range(draw.randint(0, 3)):
            words[draw.randrange(len(words))] = draw.choice(WORDS)
            found.append(" ".join(words))
    return found[:count]


@pytest.mark.parametrize("similar", [0.5, 0.7, 0.85, 1.0])
def test_no_near_text_is_missed_and_none_is_made_up(similar: float) -> None:
    known, asked = sentences(120), [text + end for text in sentences(160) for end in ("", " x")][-200:]
    index = NearTexts(known, similar)
    sets = [letters(text) for text in known]
    for text in asked:
        grams = letters(text)
        shares = [len(grams & one) / len(grams | one) for one in sets]
        place = index.find(text)
        if place is None:
            assert not any(alike(grams, one, similar) for one in sets)
        else:
            assert shares[place] == max(shares) >= similar and shares.index(max(shares)) == place
    assert sum(index.find(text) is not None for text in asked) > 5


def test_an_index_of_nothing_finds_nothing() -> None:
    assert NearTexts([], 0.8).find("anything") is None and HeldTexts([]).find("anything " * 20) is None
    assert NearTexts([""], 0.8).find("a") is None


def test_a_text_inside_another_is_found_and_a_short_one_is_not() -> None:
    known = ["list all files", "print the names of the ten largest files below the home folder of the user"]
    held = HeldTexts(known)
    assert held.find(f"dear assistant, could you {known[1]} and mail them to me") == 1
    assert held.find("print the names of the ten largest towns of the country in which I live") is None
    assert held.find(f"please {known[0]} now, and then tell me what else there is to do") is None


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("copy a.txt to the folder /tmp please", "Copy 'my notes' to the folder ~/x please.", True),
        ("show the last 10 lines of the log", "show the last 25 lines of the log", True),
        ("copy a.txt to the folder /tmp please", "move a.txt to the folder /tmp please", False),
        ("remove a.txt", "remove b.txt", False),  # so short a template is everybody's
    ],
)
def test_a_template_is_a_request_without_its_names(one: str, two: str, same: bool) -> None:
    assert bool(template(one) and template(one) == template(two)) is same


def test_normal_keeps_what_tells_requests_apart() -> None:
    assert normal("  List  FILES!? ") == "list files" != normal("list file")
