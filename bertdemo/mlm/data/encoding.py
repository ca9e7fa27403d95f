"""What the bytes of a data file are: its encoding, its hash, or the reason why it is no text at all.

Knows nothing of delimiters, columns or rows. Nothing is ever decompressed.
"""

import codecs
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertdemo.mlm.errors import DataError

HEAD_BYTES = 1_000_000
LONGEST_RECORD = 100_000_000
_BLOCK = 1 << 20

_MARKS = (  # the longer byte order mark first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_AS_CSV = "open it and save the sheet as CSV"
_UNPACK = "unpack it and choose the CSV file inside"
_NO_TABLE = "choose a CSV file instead"
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _NO_TABLE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file", _AS_CSV),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"%PDF-", "a PDF document", "copy its table into a sheet and save that as CSV"),
    (b"\x89PNG\r\n", "a PNG picture", _NO_TABLE),
    (b"\xff\xd8\xff", "a JPEG picture", _NO_TABLE),
    (b"GIF8", "a GIF picture", _NO_TABLE),
    (b"PAR1", "a Parquet file", "export its table as CSV"),
    (b"ARROW1", "an Arrow file", "export its table as CSV"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF\r\n", "an HDF5 file", "export its table as CSV"),
    (b"\x7fELF", "a program", _NO_TABLE),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the real file with git lfs pull"),
)
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_JSON = re.compile(rb'\s*(?:\[\s*)?\{\s*"[^"\n]{0,200}"\s*:')
_FREQUENT = frozenset(b"\t\n\r ,;0123456789")
_ESCAPES = re.compile(rb"\x1b[$(]|~\{|\+[A-Za-z0-9+/]{2,}-?")
_CONTROLS = bytes(sorted(set(range(32)) - set(b"\t\n\r\f\x00\x1a\x1b"))) + b"\x7f"

# What chardet finds -> the name that its Windows or DOS sibling goes by, where both read the bytes alike.
_SIBLINGS = {
    "iso8859-1": "cp1252",
    "iso8859-15": "cp1252",
    "iso8859-2": "cp1250",
    "iso8859-6": "cp1256",
    "iso8859-7": "cp1253",
    "iso8859-8": "cp1255",
    "iso8859-9": "cp1254",
    "iso8859-13": "cp1257",
    "cp437": "cp850",
    "shift_jis_2004": "cp932",
}
_SAMPLE_BYTES = 200_000  # as many as chardet looks at
# chardet's confidence: ten short lines reach 0.2 in Western languages, 0.5 in others; a few words seldom reach 0.15.
_FEW, _SURE, _DOUBTFUL = 20, 0.2, 0.1
# Signs inside a word, three letters beyond ASCII in a row, a capital after a small letter: no Western text.
_NOT_WESTERN = re.compile(
    r"[^\W\d_][^\w\s\x00-\x7f’][^\W\d_]|[^\W\d_\x00-\x7f]{3}|[a-zà-ÿ][À-ÖØ-ÞŠŒŽŸ]|[\x80-\x9f\ufffdªºƒˆ¤¦¬¯¸]"
)


@dataclass(frozen=True)
class FileFacts:
    """What one pass over a file's bytes tells. ``sha256`` is None unless every byte was read."""

    path: Path
    size: int
    head: bytes
    encoding: str
    sha256: str | None
    doubtful: bool = False  # the encoding is hardly more than a guess
    nuls: int = 0
    damaged: int = 0  # bytes that are not UTF-8 in a file that is

    @property
    def complete(self) -> bool:
        """Whether ``head`` is the whole file."""
        return len(self.head) == self.size


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the operating system says about ``path`` into one sentence."""
    try:
        yield
    except FileNotFoundError as exc:
        raise DataError(f"There is no file {str(path)!r}; check its name and folder.") from exc
    except PermissionError as exc:
        raise DataError(f"{path.name!r} may not be read; allow this account to read it.") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise DataError(f"{path.name!r} cannot be read ({reason}); check the file and the disk.") from exc


def survey_file(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> FileFacts:
    """Encoding and hash of the file, from its first ``max_bytes`` or (None) from all of it, in bounded memory.

    Raises:
        DataError: missing, a folder, unreadable, empty, or not text (a spreadsheet, archive, picture...).
    """
    path = Path(path)
    with readable(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path.name!r} is a folder; choose a CSV file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path.name!r} is not an ordinary file; save the data to a CSV file first.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES if max_bytes is None else max_bytes)
            _refuse_other_formats(head, path.name)
            evidence = _Evidence()
            digest = hashlib.sha256()
            block, size = head, 0
            while block:
                size += len(block)
                evidence.feed(block, path.name)
                digest.update(block)
                block = file.read(_BLOCK) if max_bytes is None else b""
    complete = max_bytes is None or size == status.st_size
    marked = _marked_encoding(head)
    encoding, doubtful = (marked, False) if marked else evidence.encoding(head, complete=complete)
    return FileFacts(
        path,
        size if max_bytes is None else status.st_size,
        head,
        encoding,
        digest.hexdigest() if complete else None,
        doubtful,
        nuls=0 if encoding.startswith(("utf-16", "utf-32")) else evidence.nuls,
        damaged=evidence.bad if encoding.startswith("utf-8") else 0,
    )


def _refuse_other_formats(head: bytes, name: str) -> None:
    """Raise DataError when the first bytes belong to something that is not a table in text form."""
    if not head.strip(b"\x00\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{name!r} is empty; choose a file with a header line and rows.")
    if head.startswith(b"PK\x03\x04") and b"xl/" in head[:100_000]:
        raise DataError(f"{name!r} is an Excel workbook; {_AS_CSV}.")
    for signature, kind, mend in _SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{name!r} is {kind}; {mend}.")
    if _WEB_PAGE.match(head):
        raise DataError(f"{name!r} is a web page; download the CSV file itself (the 'raw' link).")
    if _JSON.match(head):
        raise DataError(f"{name!r} is JSON; save it as CSV with a header line, one record a row.")
    sample = head[:65_536]
    if len(sample.translate(None, _CONTROLS)) < 0.9 * len(sample) and not (_marked_encoding(head) or b"\x1b$)" in head):
        raise DataError(f"{name!r} is not a text file; save the table as CSV.")


def _marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names, or UTF-16 given away by the zero bytes of plain letters.

    >>> _marked_encoding("id,text".encode("utf-16-le"))
    'utf-16-le'
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # The code units of ASCII's most frequent signs: Chinese and Japanese have few others, and zero bytes of their own.
    low, high = head[:65_536:2], head[1:65_536:2]
    little = sum(not top and unit in _FREQUENT for unit, top in zip(low, high, strict=False))
    big = sum(not top and unit in _FREQUENT for top, unit in zip(low, high, strict=False))
    if max(little, big) > max(0.01 * len(high), 10 * min(little, big)):
        return "utf-16-le" if little > big else "utf-16-be"
    return None


class _Evidence:
    """Fed a file block by block, says whether it is ASCII, UTF-8 (perhaps with some stray bytes) or something else."""

    def __init__(self) -> None:
        self.nuls = 0
        self.bad = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = 0
        self._good = 0
        self._unbroken = 0
        self._sample = bytearray()

    def feed(self, block: bytes, name: str) -> None:
        self._unbroken = 0 if b"\n" in block or b"\r" in block else self._unbroken + len(block)
        if self._unbroken > LONGEST_RECORD:
            raise DataError(f"{name!r} has a line of more than 100 MB; save it as CSV with a line a row.")
        self.nuls += block.count(0)
        if block.isascii() and not self._pending:
            return
        text = self._decoder.decode(block)
        read = len(block) + self._pending
        self._pending = len(self._decoder.getstate()[0])
        bad = max(0, text.count("\ufffd") - block.count(b"\xef\xbf\xbd"))
        self.bad += bad
        self._good += read - self._pending - len(text)  # a character of n bytes counts n - 1
        if (bad or self._pending) and len(self._sample) < _SAMPLE_BYTES:
            self._sample += b"\n".join(line for line in block.splitlines() if not line.isascii())[:_SAMPLE_BYTES]

    def encoding(self, head: bytes, *, complete: bool) -> tuple[str, bool]:
        """The verdict, and whether it is doubtful. A character that is cut off is damage only where the file ends."""
        bad = self.bad + (self._pending if complete else 0)
        if not bad and not self._good:
            return ("utf-8", False) if self._pending else (_escaped_encoding(head), False)
        # Older encodings form valid UTF-8 only now and then; real UTF-8 with damage is mostly good.
        if self._good > bad:
            return "utf-8", False
        return older_encoding(bytes(self._sample))


def _escaped_encoding(head: bytes) -> str:
    """Among encodings that use ASCII's bytes alone: UTF-7, ISO-2022 (Japanese, Korean), HZ; nearly always ASCII."""
    found = _detected(head)["encoding"] if _ESCAPES.search(head) else None
    return found if found and found.startswith(("utf-7", "iso2022", "hz")) else "ascii"


def _detected(sample: bytes) -> Any:
    import chardet  # for files that are not UTF-8 alone

    return chardet.detect(sample, compat_names=False)


def older_encoding(sample: bytes) -> tuple[str, bool]:
    """The likeliest encoding of lines that are not UTF-8, and whether that is hardly more than a guess.

    chardet finds it, but from a word or two only by chance: a text that reads as Western is then taken for that.

    >>> older_encoding("Très déçu par cette série".encode("latin-1"))
    ('cp1252', False)
    """
    found = _detected(sample)
    encoding, confidence = found["encoding"] or "cp1252", found["confidence"]
    few = sum(map((0x7F).__lt__, sample)) < _FEW and confidence < _SURE
    if few and not _NOT_WESTERN.search(sample.decode("cp1252", "replace")):
        return "cp1252", False
    sibling = _SIBLINGS.get(encoding, encoding)
    if sample.decode(sibling, "replace") == sample.decode(encoding, "replace"):
        encoding = sibling
    return encoding.replace("mac-", "mac_"), confidence < _DOUBTFUL
