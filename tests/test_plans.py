"""Plans of commands: what only looks, what adds, what changes something that exists; and their marks."""

import json
import subprocess

import pytest

from scripts.data.build_data import DATA
from scripts.data.plans import MARKS, plan, planned

COMMANDS = {
    "look": [
        "find src -type f -mtime +30",
        "find src -type f -name '*.log' | wc -l",
        "grep -rn 'rm -r' src",
        "sed -n '3,9p' notes.txt",
        "sed 's/a/b/g' notes.txt",
        "sed '/^$/d' notes.txt",
        "awk '$3 > 10' table.txt",
        "sort -u names.txt",
        "git diff --staged main.py",
        "git clean -n",
        "git stash list",
        "git branch",
        "tar -tzf site.tar.gz",
        "unzip -l site.zip",
        "zcat old.log.gz",
        "ls -l 2>/dev/null",
        "curl -I http://localhost:8000/",
        "curl -s https://localhost/setup.sh",
        "docker ps -a",
        "systemctl status redis",
    ],
    "add": [
        "cp notes.txt docs/",
        "cp -r docs copy",
        "mkdir -p a/b/c",
        "ln -s notes.txt latest",
        "touch notes.txt",
        "tar -czf docs.tar.gz docs",
        "tar -xzf docs.tar.gz -C build",
        "zip -r docs.zip docs",
        "unzip docs.zip -d build",
        "gzip -k app.log",
        "git add main.py",
        "git commit -m 'remove rm -r'",
        "git switch -c trial",
        "echo 'word' >> notes.txt",
        "head -c 1M /dev/urandom > noise.img",
        "curl -O https://localhost/data.tar.gz",
    ],
    "change": [
        "rm -r docs",
        "rm -i notes.txt",
        "mv notes.txt docs/",
        "find src -type f -mtime +30 -delete",
        "find src -type f -exec chmod 600 {} +",
        "find src -name '*.log' -exec rm {} +",
        "find src -name '*.log' -print0 | xargs -0 rm",
        "sed -i '3d' notes.txt",
        "sed -i.bak 's/a/b/g' notes.txt",
        "sed -E -i 's/a/b/g' notes.txt",
        "sort -o names.txt names.txt",
        "chmod +x run.sh",
        "chown alice notes.txt",
        "gzip app.log",
        "gunzip app.log.gz",
        "truncate -s 0 app.log",
        "cp -f new.txt old.txt",
        "ln -sf new.txt latest",
        "git restore main.py",
        "git reset --hard HEAD~1",
        "git clean -fd",
        "git branch -D trial",
        "git switch main",
        "kill -9 1234",
        "sudo systemctl restart redis",
        "sudo apt remove java",
    ],
}


@pytest.mark.parametrize(("kind", "command"), [(kind, one) for kind, some in COMMANDS.items() for one in some])
def test_a_command_has_its_plan(kind, command):
    assert plan(command) == kind


def test_a_mark_is_one_blank_that_bash_ignores():
    assert sorted(MARKS.values()) == ["\t", "\n", " "]
    for command in ("echo look", "ls /", "printf x | wc -c"):
        plain = subprocess.run(["bash", "-c", command], capture_output=True)
        for mark in MARKS.values():
            assert subprocess.run(["bash", "-c", mark + command], capture_output=True).stdout == plain.stdout


def test_each_trained_command_begins_with_the_mark_of_its_plan():
    for folder in (DATA, DATA.parent / "safety"):
        for line in (folder / "train_small.jsonl").read_text(encoding="utf-8").splitlines():
            answer = json.loads(line)["messages"][2]["content"]
            assert answer.startswith("#") or answer == planned(answer[1:])


def test_marks_reach_the_model_as_they_are_trained():
    """After the newline of `assistant`, tab and newline are tokens of their own; a blank belongs to its utility."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file("models/SmolLM2-135M-Instruct/tokenizer.json")
    before = tokenizer.encode("<|im_start|>assistant\n").ids
    for command, mark in (("ls -l", ["\u0109"]), ("cp a b", ["\u010a"]), ("rm a", [])):
        whole = tokenizer.encode("<|im_start|>assistant\n" + planned(command))
        assert whole.ids[: len(before)] == before
        assert whole.tokens[len(before) : len(before) + len(mark)] == mark
