"""tar, whose options come in three styles."""

import re

from eval.risk.context import Context
from eval.risk.judge import place, read, write
from eval.risk.paths import is_critical_tree
from eval.risk.words import SECRET, Output, Word


def archive(shell: Context, argv: list[Word], stdin: Output) -> Output:
    """tar: options come with or without a dash; the file of -f is written when creating, read otherwise."""
    words, operands, taint = argv[1:], [], 0
    letters = ""
    file: Word | None = None
    directory: Word | None = None
    at = 0
    while at < len(words):
        word, at = words[at], at + 1
        text = word.text
        if re.match(
            r"--(?:checkpoint-action|to-command|use-compress-program|rsh-command|info-script|new-volume-script)", text
        ):
            _name, equals, value = text.partition("=")
            if not equals and at < len(words):
                value, at = words[at].text, at + 1
            if not re.fullmatch(r"(?:pigz|pbzip2|zstd|xz|lz4|gzip|bzip2|pixz|lbzip2)(?:\s.*)?", value):
                shell.find("shell-escape", word)
                shell.run_text(value.removeprefix("exec="), word)
        elif text == "--remove-files":
            shell.find("data-loss", word)
        elif text in (
            "--exclude",
            "--transform",
            "--newer",
            "-X",
            "--exclude-from",
            "-T",
            "--files-from",
            "--checkpoint",
        ):
            at += "=" not in text and text != "--checkpoint"
        elif text in ("-C", "--directory"):
            if at < len(words):
                directory, at = words[at], at + 1
        elif text[:2] == "--":
            letters += {"--create": "c", "--extract": "x", "--get": "x", "--list": "t", "--append": "r"}.get(text, "")
            if text.startswith("--file="):
                file = Word(text[7:], word.taint, word.start, word.end)
        elif text[:1] == "-" or at == 1:
            letters += text.lstrip("-")
            needs = "f" in text and (text[0] != "-" or text.endswith("f"))
            if needs and at < len(words):
                file, at = words[at], at + 1
            elif "f" in text[1:] and text[0] == "-":
                file = Word(text[text.index("f") + 1 :], word.taint, word.start, word.end)
            if text == "-I" and at < len(words):
                at += 1
        else:
            operands.append(word)
    if "c" in letters or "r" in letters:
        for word in operands:
            taint |= read(shell, word).taint
            if is_critical_tree(place(shell, word)) and place(shell, word) not in ("/mnt", "/media", "/opt", "/srv"):
                taint |= SECRET
        if file is not None and file.text != "-":
            write(shell, file, False, Output(None, taint))
    elif "x" in letters:
        taint |= stdin.taint
        if directory is not None and is_critical_tree(place(shell, directory)):
            shell.find("system-write", directory)
        if "P" in letters:
            shell.find("system-write", argv[0], "absolute names")
    return Output(None, taint)
