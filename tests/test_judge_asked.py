"""Differences that are none, given what was asked, and the same differences where they are what was asked."""

from pathlib import Path

import pytest

from eval.judge.dumps import dumped
from eval.judge.file_facts import file_facts, states
from eval.judge.ladder import PARTIAL, ROBUST, decide
from eval.judge.pair import Pair
from eval.judge.queries import facts_asked
from eval.sandbox.execution import Change, Entry, Execution


def ran(stdout: str, changes: tuple[Change, ...] = ()) -> Execution:
    return Execution(0, stdout.encode(), b"", changes, (), 0.01, "made up")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    for name in ("srv/a.txt", "srv/b.txt", "srv/deep/c.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("word\n")
    return top


def rule_of(
    tree: Path, request: str, gold: str, candidate: str, commands: tuple[str, str] = ("find .", "find .")
) -> str:
    pair = Pair(request, *commands, (ran(gold),), (ran(candidate),), cwd="/srv", tree=tree)
    found = decide(pair, ROBUST)
    return found.rule if found.verdict == "accept" else found.verdict


@pytest.mark.parametrize(
    ("rule", "request_text", "gold", "candidate"),
    [
        ("numbered", "how often does it say word", "3\n", "1 word\n2 word\n3 words\n"),
        ("located", "find text files and what they say", "a.txt\nword\n", "a.txt\na.txt:word\n"),
        ("located", "what do they say", "word\nother\n", "a.txt:1:word\nb.txt:7:other\n"),
        ("matching_files", "find all files that contain word", "a.txt\ndeep/c.txt\n", "a.txt:word\ndeep/c.txt:word\n"),
        ("matching_files", "files containing word", "./a.txt:word\n./a.txt:a word\n", "a.txt\n"),
        ("letter_case", "list duplicate names, case insensitive", "README\nNotes.txt\n", "readme\nnotes.txt\n"),
        ("addresses", "dump f", "0000000 a b\n*\n0000040 c\n0000041\n", "a b\n*\nc\n"),
        ("checksums", "digest of a.txt", "0123456789abcdef a.txt\n", "SHA256(a.txt)= 0123456789abcdef\n"),
        ("sort_key", "sort files by depth and display the names", "1 a.txt\n2 deep/c.txt\n", "a.txt\ndeep/c.txt\n"),
        ("drawing", "draw the tree", ".\n├── a.txt\n└── b.txt\n", ".\n./.git\n./a.txt\n./b.txt\n"),
    ],
)  # fmt: skip
def test_no_real_difference(tree: Path, rule: str, request_text: str, gold: str, candidate: str) -> None:
    assert rule_of(tree, request_text, gold, candidate) == rule


@pytest.mark.parametrize(
    ("request_text", "gold", "candidate"),
    [
        ("how often does it say word", "3\n", "1 word\n2 word\n"),  # another count
        ("how often does it say word", "2\n", "1 word\n3 word\n"),
        ("the number 2", "3\n", "word\nword\nword\n"),  # not numbered: nobody counts for himself
        ("what do they say", "word\nother\n", "a.txt:word\nb.txt:third\n"),
        ("what do they say", "word\n", "none.txt:word\n"),  # no such file
        ("find lines in files that contain word", "a.txt\n", "a.txt:word\n"),  # lines, not files
        ("files containing word", "a.txt\n", "a.txt:word\ndeep/c.txt:word\n"),
        ("list names", "README\n", "readme\n"),
        ("list names, case insensitive", "README\nb\n", "readme\nc\n"),
        ("dump f with the offsets", "0000000 a b\n0000002\n", "a b\n"),
        ("dump f", "0000000 a b\n0000002\n", "a c\n"),
        ("sort files by size and display the names and sizes", "1 a.txt\n2 b.txt\n", "a.txt\nb.txt\n"),
        ("sort files by depth and display the names", "1 a.txt\n2 b.txt\n", "b.txt\na.txt\n"),
        ("draw the tree with hidden files", ".\n├── a.txt\n└── b.txt\n", ".\n./.git\n./a.txt\n./b.txt\n"),
        ("draw the tree", ".\n├── a.txt\n└── b.txt\n", ".\n├── .git\n├── a.txt\n└── b.txt\n"),  # tree -a
        ("digest of a.txt", "0123456789abcdef a.txt\n", "SHA256(a.txt)= 0123456789abcdff\n"),
    ],
)
def test_the_same_difference_where_it_matters(tree: Path, request_text: str, gold: str, candidate: str) -> None:
    assert rule_of(tree, request_text, gold, candidate) == "reject"


def test_folders_are_no_files_where_files_are_asked(tree: Path) -> None:
    gold, candidate = "/srv\n/srv/a.txt\n/srv/deep\n", "/srv/a.txt\n"
    commands = ("find /srv -size +1c", "find /srv -type f -size +1c")
    assert rule_of(tree, "all files over a byte", gold, candidate, commands) == "files_only"
    assert rule_of(tree, "all files and folders over a byte", gold, candidate, commands) == "reject"
    assert rule_of(tree, "all files over a byte", candidate, gold, commands[::-1]) == "reject"  # folders not asked
    assert rule_of(tree, "all files over a byte", gold + "/srv/b.txt\n", candidate, commands) == "reject"


@pytest.mark.parametrize(
    ("commands", "gold", "candidate", "accepted"),
    [
        (("umask", "umask -p"), "0022\n", "umask 0022\n", True),
        (("which sh", "type sh"), "/bin/sh\n", "sh is /bin/sh\n", True),
        (("which sh", "type bash"), "/bin/sh\n", "bash is /bin/bash\n", False),
        (("echo 7", "echo sum 7"), "7\n", "sum 7\n", False),  # nothing but its own words
    ],
)
def test_own_words_before_the_answer(
    tree: Path, commands: tuple[str, str], gold: str, candidate: str, accepted: bool
) -> None:
    assert (rule_of(tree, "x", gold, candidate, commands) == "labels") is accepted


LONG = "-rw-r--r-- 1 user user 4812 Jan 10 08:00 run.sh\n"
FULL = """  File: run.sh
  Size: 4812      \tBlocks: 16         IO Block: 4096   regular file
Device: 0,42\tInode: 5           Links: 1
Access: (0644/-rw-r--r--)  Uid: ( 1000/    user)   Gid: ( 1000/    user)
Access: 2026-01-11 09:00:00.000000000 +0000
Modify: 2026-01-10 08:00:00.000000000 +0000
Change: 2026-01-15 11:59:59.000000000 +0000
 Birth: 2026-01-15 11:59:59.000000000 +0000
"""
TERSE = "run.sh 4812 16 81a4 1000 1000 2a 5 1 0 0 1768122000 1768032000 1768478399 1768478399 4096\n"


@pytest.mark.parametrize(
    ("gold", "candidate", "same"),
    [
        (LONG, FULL, True),
        (FULL, TERSE, True),
        (TERSE, FULL, True),
        ("4 " + LONG, LONG.replace("4812", "4.7K"), True),  # ls -ls, ls -lh
        (FULL, LONG, False),  # the other times were asked as well
        (LONG, FULL.replace("4812", "4813"), False),
        (LONG, FULL.replace("Modify: 2026-01-10", "Modify: 2026-01-12"), False),
        (FULL, TERSE.replace("81a4", "81ed"), False),
        (LONG, LONG.replace("run.sh", "ran.sh"), False),
    ],
)
def test_facts_about_a_file_in_any_layout(gold: str, candidate: str, same: bool) -> None:
    (one,), (two,) = file_facts(gold, "/srv"), file_facts(candidate, "/srv")
    assert states(one, two) is same


OD = "0000000   H   i       x  \\n 303 251  \\0\n0000010\n"
HEX = "00000000  48 69 20 78 0a c3 a9 00                           |Hi x....|\n00000008\n"
XXD = "00000000: 4869 2078 0ac3 a900                      Hi x....\n"


@pytest.mark.parametrize("text", [OD, HEX, XXD])
def test_dumps_show_bytes(text: str) -> None:
    assert dumped(text) == b"Hi x\n\xc3\xa9\0"


@pytest.mark.parametrize(
    "text",
    ["0000000 6948 7820 c30a 00a9\n0000010\n",  # od -x shows no characters
     "some text\n", "", "0000000   H\n*\n0000100\n", "0000020   H   i\n"],
)  # fmt: skip
def test_other_texts_are_no_dump_of_characters(text: str) -> None:
    assert dumped(text) is None


def test_dumps_in_another_layout(tree: Path) -> None:
    assert rule_of(tree, "dump f as characters", OD, HEX) == "dumps"
    assert rule_of(tree, "dump f as characters", OD, HEX.replace("48", "49")) == "reject"


def test_other_lines_describe_no_file() -> None:
    assert file_facts("total 8\n" + LONG, "/") and not file_facts(LONG + "and more\n", "/") and not file_facts("", "/")


def test_a_report_may_name_the_folder_around() -> None:
    gone = (Change("/srv/deep/hollow", "removed", Entry("directory", 0o755, None, None, 0), None),)
    gold = "rmdir: removing directory, '/srv/deep/hollow'\nrmdir: removing directory, '/srv/deep'\n"
    one, two = ran(gold, gone), ran("/srv/deep/hollow\n", gone)
    pair = Pair("remove empty folders, printing each", "rmdir -vp", "find -print -delete", (one,), (two,))
    assert decide(pair, ROBUST).rule == "report"
    other = ran("/home/other\n", gone)
    assert decide(Pair("remove, printing each", "rmdir", "c", (one,), (other,)), ROBUST).verdict == "reject"


def test_rules_that_leave_something_out_have_to_be_put_to_the_test() -> None:
    assert {"numbered", "located", "matching_files", "sort_key", "files_only", "columns"} <= PARTIAL


def test_variables_of_the_shell_are_queries_too() -> None:
    assert facts_asked("echo $$") & facts_asked("pidof bash") and facts_asked("echo $USER") & facts_asked("whoami")
    assert facts_asked("apt show curl") & facts_asked("apt-cache show curl")
    assert not facts_asked("apt show curl") & facts_asked("apt-cache show wget")
