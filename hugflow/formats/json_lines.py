"""JSON documents become JSON lines, an element at a time: `datasets` would take a whole array into memory.

Its reader would also write the numbers of an array anew, with ten digits; here an element keeps its text.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

_CHUNK_CHARACTERS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def is_array(file: BinaryIO) -> bool:
    """Whether a document begins as an array, and not as lines of objects."""
    head = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"[")


def elements(file: BinaryIO, *, encoding: str = "utf-8", field: str | None = None) -> Iterator[str]:
    """The elements of an array, each as an object on one line; with `field`, of the array under that key of an object.

    Elements that are no objects become {"text": element}, as `datasets` calls that column. Memory: one element and a
    piece of the text. Raises ValueError for what is no such JSON, KeyError when there is no such field.
    """
    text = _Text(io.TextIOWrapper(cast("IO[bytes]", file), encoding="utf-8-sig" if encoding == "utf-8" else encoding))
    if field is not None:
        _find(text, field)
    text.expect("[")
    if text.peek() == "]":
        return
    while True:
        element = text.value()
        # line breaks are never part of a value: inside of texts they are escaped
        yield re.sub(r"[\r\n]", " ", element) if element.startswith("{") else f'{{"text": {element}}}'
        if text.expect(",]") == "]":
            return


def _find(text: _Text, field: str) -> None:
    """Go to the value of a key of the object that begins here."""
    text.expect("{")
    if text.peek() == "}":
        raise KeyError(field)
    while True:
        key = json.loads(text.value())
        text.expect(":")
        if key == field:
            return
        text.value()
        if text.expect(",}") == "}":
            raise KeyError(field)


class _Text:
    """A text that is read in pieces, of which only what comes next is kept."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is no space; it stays where it is."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_CHUNK_CHARACTERS):
                raise ValueError("the JSON ends too early")

    def expect(self, characters: str) -> str:
        """Go past the next character, which must be one of these."""
        found = self.peek()
        if found not in characters:
            raise ValueError(f"the JSON has {found!r} where one of {characters!r} should be")
        self._at += 1
        return found

    def value(self) -> str:
        """Go past the next value; returns its text."""
        self.peek()
        size = _CHUNK_CHARACTERS
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                end = len(self._text)
            # a number may go on in the next piece
            if end < len(self._text):
                value = self._text[self._at : end]
                self._at = end
                return value
            if not self._more(size):
                return self._last()
            size *= 2

    def _last(self) -> str:
        try:
            _, end = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise ValueError(f"the JSON cannot be read: {error.msg}") from error
        value, self._at = self._text[self._at : end], end
        return value

    def _more(self, size: int) -> bool:
        piece = self._file.read(size)
        self._text = self._text[self._at :] + piece
        self._at = 0
        return bool(piece)
