"""How much of an upload is no file: Gradio writes the files of a form to the disk, but keeps its fields in memory.

Reads along with the parser that Gradio uses, so that both see the same parts. Knows no server and keeps no content.
"""

from __future__ import annotations

from contextlib import suppress

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header


class FormFields:
    """Fed with the body as it comes; ``size`` is how many bytes belonged to parts without a file name."""

    def __init__(self, content_type: str) -> None:
        self.size = 0
        self._is_file = False
        self._name = self._value = b""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        self._parser = MultipartParser(boundary, self._callbacks()) if boundary else None

    def feed(self, body: bytes) -> None:
        """Take the next piece in; what is no form any more is left to whoever reads it after us."""
        if self._parser is None:
            return
        with suppress(MultipartParseError):
            self._parser.write(body)
            return
        self._parser = None

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_part_data": self._count,
        }

    def _begin(self) -> None:
        self._is_file = False

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(self._value)[1]
        self._name = self._value = b""

    def _count(self, _data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self.size += end - start
