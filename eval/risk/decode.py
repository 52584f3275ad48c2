"""What filters make of a known text: the part of a pipeline that can be computed without running it.

Each function returns None when it cannot know. Sizes are bounded: a text past MAX_TEXT is unknown.
Nothing is executed; gzip data is unpacked with a limit.
"""

import base64
import binascii
import codecs
import re
import zlib
from collections.abc import Sequence

MAX_TEXT = 20_000
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|0[0-7]{1,3}|[0-7]{1,3}|c.|.)", re.DOTALL)
SIMPLE = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
}
RANGE = re.compile(r"(.)-(.)", re.DOTALL)
CLASSES = {"[:lower:]": "a-z", "[:upper:]": "A-Z", "[:digit:]": "0-9"}
FORMAT = re.compile(r"%(?:%|[-+ #0]*(?:[1-9]\d*)?(?:\.\d+)?([bsdqcxoiu]))")


def unescape(text: str, single: bool = True) -> str:
    """C escapes as `$'..'`, `printf` and `echo -e` read them. `single` also turns `\\'` and `\\"` into quotes."""

    def one(found: re.Match[str]) -> str:
        code = found.group(1)
        if code[0] in "xuU" and len(code) > 1:
            value = int(code[1:], 16)
            return chr(value) if 0 < value < 0x110000 else ""
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        if code in SIMPLE:
            return SIMPLE[code]
        return code if single and code in "'\"?" else "\\" + code

    return ESCAPE.sub(one, text) if "\\" in text else text


def echo(arguments: Sequence[str]) -> str:
    """Output of Bash's echo with the options -n, -e, -E."""
    words = list(arguments)
    newline, escapes = "\n", False
    while words and re.fullmatch(r"-[neE]+", words[0]):
        option = words.pop(0)
        newline = "" if "n" in option else newline
        escapes = "e" in option or (escapes and "E" not in option)
    text = " ".join(words)
    return (unescape(text) if escapes else text) + newline


def printf(arguments: Sequence[str]) -> str | None:
    """Output of printf for the usual conversions; the format is used again while arguments are left, as in Bash."""
    words = list(arguments)
    if words[:1] == ["--"]:
        words.pop(0)
    if not words:
        return ""
    template, values = unescape(words[0]), words[1:]
    output: list[str] = []
    while True:
        left = len(values)

        def convert(found: re.Match[str]) -> str:
            if found.group() == "%%":
                return "%"
            value = values.pop(0) if values else ""
            if found.group(1) == "c":
                return value[:1]
            if found.group(1) == "x" and value.isdigit():
                return f"{int(value):x}"
            return unescape(value) if found.group(1) == "b" else value

        output.append(FORMAT.sub(convert, template))
        if not values or len(values) == left or len(output) > 200:
            return "".join(output)[:MAX_TEXT]


def from_base64(text: str) -> str | None:
    """Decoded base64, as text; None when it is none."""
    packed = re.sub(r"\s", "", text)
    try:
        return _as_text(base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def from_base32(text: str) -> str | None:
    """Decoded base32, as text; None when it is none."""
    try:
        return _as_text(base64.b32decode(re.sub(r"\s", "", text)))
    except (binascii.Error, ValueError):
        return None


def from_hex(text: str) -> str | None:
    """What `xxd -r -p` makes of hexadecimal digits."""
    try:
        return _as_text(bytes.fromhex(re.sub(r"\s|\\x|0x", "", text)))
    except ValueError:
        return None


def unpack(text: str) -> str | None:
    """Unpacked gzip or zlib data, at most MAX_TEXT characters."""
    try:
        return _as_text(zlib.decompressobj(47).decompress(text.encode("latin-1"), MAX_TEXT))
    except (zlib.error, UnicodeEncodeError):
        return None


def rot13(text: str) -> str:
    """Letters moved by 13 places."""
    return codecs.encode(text, "rot13")


def reverse_lines(text: str) -> str:
    """What `rev` prints."""
    return "\n".join(line[::-1] for line in text.split("\n"))


def translate(text: str, arguments: Sequence[str]) -> str | None:
    """What `tr` prints for one or two plain sets, -d included."""
    options = [word for word in arguments if word.startswith("-") and len(word) > 1]
    sets = [_expand_set(word) for word in arguments if not (word.startswith("-") and len(word) > 1)]
    if options in (["-d"], ["--delete"]) and len(sets) == 1:
        return text.translate({ord(letter): None for letter in sets[0]})
    if options or len(sets) != 2 or not sets[1]:
        return None
    padded = sets[1] + sets[1][-1] * max(0, len(sets[0]) - len(sets[1]))
    return text.translate({ord(a): b for a, b in zip(sets[0], padded, strict=False)})


def _expand_set(text: str) -> str:
    for name, letters in CLASSES.items():
        text = text.replace(name, letters)

    def letters_of(found: re.Match[str]) -> str:
        first, last = ord(found.group(1)), ord(found.group(2))
        return "".join(map(chr, range(first, last + 1))) if last - first < 256 else ""

    return RANGE.sub(letters_of, unescape(text))


def _as_text(data: bytes) -> str | None:
    if len(data) > MAX_TEXT:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
