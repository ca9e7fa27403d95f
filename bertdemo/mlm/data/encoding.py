"""What the bytes of a data file are: its format, its encoding, its hash, or the reason why it holds no table at all.

Knows nothing of delimiters, columns or rows. A file packed with gzip is read as what is in it, up to a limit.
"""

import codecs
import gzip
import hashlib
import math
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bertdemo.mlm.errors import DataError

HEAD_BYTES = 1_000_000
LONGEST_RECORD = 100_000_000
# What a packed file may hold, so that a small one cannot fill the memory: texts seldom shrink to less than a 20th.
UNPACKED_BYTES, UNPACKED_FACTOR, ALWAYS_UNPACKED = 1_000_000_000, 100, 10_000_000
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
_NO_TABLE = "choose a CSV, text, JSON, Excel or Parquet file instead"
_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _NO_TABLE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file", _AS_CSV),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"%PDF-", "a PDF document", "copy its table into a sheet and save that as CSV"),
    (b"\x89PNG\r\n", "a PNG picture", _NO_TABLE),
    (b"\xff\xd8\xff", "a JPEG picture", _NO_TABLE),
    (b"GIF8", "a GIF picture", _NO_TABLE),
    (b"ARROW1", "an Arrow file", "export its table as CSV"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF\r\n", "an HDF5 file", "export its table as CSV"),
    (b"\x7fELF", "a program", _NO_TABLE),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the real file with git lfs pull"),
)
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
_JSON = re.compile(r'\s*(?:\[\s*)?\{\s*"[^"\n]{0,200}"\s*:')
_JSON_TEXTS = re.compile(r'\s*(?:\[\s*)?["{]')  # where the file's name says that it is JSON
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
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


BINARY = ("excel", "parquet")


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
    format: str = "csv"  # or "json", "excel", "parquet"; the last two have no encoding
    packed: bool = False  # with gzip; all else is said of what is in it, but for the hash

    @property
    def binary(self) -> bool:
        return self.format in BINARY

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
    except (OSError, ValueError, EOFError, zlib.error) as exc:  # the last two: what is packed is damaged
        reason = getattr(exc, "strerror", None) or str(exc)
        raise DataError(f"{path.name!r} cannot be read ({reason}); check the file and the disk.") from exc


def open_data(path: Path) -> IO[bytes]:
    """The file's bytes; of one that gzip packed, those that it packed."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return cast("IO[bytes]", gzip.open(path) if packed else path.open("rb"))


def unpacked_limit(size: int) -> int:
    """How many bytes a packed file of so many may hold."""
    return min(UNPACKED_BYTES, max(ALWAYS_UNPACKED, UNPACKED_FACTOR * size))


def survey_file(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> FileFacts:
    """Format, encoding and hash of the file, from its first ``max_bytes`` or (None) from all of it, in bounded memory.

    Raises:
        DataError: missing, a folder, unreadable, empty, or none of the formats (an archive, a picture...).
    """
    path = Path(path)
    with readable(path):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path.name!r} is a folder; choose a CSV file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path.name!r} is not an ordinary file; save the data to a CSV file first.")
        with open_data(path) as file:
            packed = isinstance(file, gzip.GzipFile)
            head = file.read(HEAD_BYTES if max_bytes is None else max_bytes)
            found = _format(head, path, packed=packed)
            if found in BINARY:
                sha256 = _sha256(path) if max_bytes is None or not file.read(1) else None
                return FileFacts(path, status.st_size, head, "", sha256, format=found)
            evidence = _Evidence(one_line=found == "json")
            block, size = head, 0
            while block:
                size += len(block)
                if packed and size > unpacked_limit(status.st_size):
                    raise DataError(
                        f"{path.name!r} unpacks to more than {size // 10**6} MB; unpack it and choose that."
                    )
                evidence.feed(block, path.name)
                block = file.read(_BLOCK) if max_bytes is None else b""
            complete = max_bytes is None or not file.read(1)
        sha256 = _sha256(path) if complete else None
    if not complete:
        size = max(_packed_size(path), size + 1) if packed else status.st_size
    marked = _marked_encoding(head)
    encoding, doubtful = (marked, False) if marked else evidence.encoding(head, complete=complete)
    return FileFacts(
        path,
        size,
        head,
        encoding,
        sha256,
        doubtful,
        nuls=0 if encoding.startswith(("utf-16", "utf-32")) else evidence.nuls,
        damaged=evidence.bad if encoding.startswith("utf-8") else 0,
        format=found,
        packed=packed,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packed_size(path: Path) -> int:
    """How much a gzip file says that it holds, modulo 4 GiB (RFC 1952): for counts that are "about" so much."""
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _format(head: bytes, path: Path, *, packed: bool) -> str:
    """The format that the first bytes give away. Raises DataError for those that hold no table."""
    if not packed and head.startswith(_PARQUET):
        return "parquet"
    if not packed and head.startswith(_ZIP) and _is_workbook(path):
        return "excel"
    _refuse_other_formats(head, path.name)
    text = head[:4096].decode(_marked_encoding(head) or "utf-8", "replace").lstrip("\ufeff")
    suffix = (path.with_suffix("") if packed else path).suffix.lower()
    return "json" if _JSON.match(text) or (suffix in _JSON_SUFFIXES and _JSON_TEXTS.match(text)) else "csv"


def _is_workbook(path: Path) -> bool:
    """Whether a zip archive is an Excel workbook. Raises DataError for one in Excel's binary form."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError):
        return False
    if "xl/workbook.bin" in names:
        raise DataError(f"{path.name!r} is a binary Excel workbook; save it as .xlsx or CSV.")
    return "xl/workbook.xml" in names


def _refuse_other_formats(head: bytes, name: str) -> None:
    """Raise DataError when the first bytes belong to something that is not a table in text form."""
    if not head.strip(b"\x00\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{name!r} is empty; choose a file with a header line and rows.")
    for signature, kind, mend in _SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{name!r} is {kind}; {mend}.")
    if _WEB_PAGE.match(head):
        raise DataError(f"{name!r} is a web page; download the CSV file itself (the 'raw' link).")
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
    """Fed a file block by block, says whether it is ASCII, UTF-8 (perhaps with some stray bytes) or something else.

    ``one_line``: a line may be of any length, as JSON's, which has ends of its own.
    """

    def __init__(self, *, one_line: bool) -> None:
        self._longest = math.inf if one_line else LONGEST_RECORD
        self.nuls = 0
        self.bad = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = 0
        self._good = 0
        self._unbroken = 0
        self._sample = bytearray()

    def feed(self, block: bytes, name: str) -> None:
        self._unbroken = 0 if b"\n" in block or b"\r" in block else self._unbroken + len(block)
        if self._unbroken > self._longest:
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


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Reads the bytes that are not UTF-8 as Windows-1252, as most files of mixed origin are."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("bertdemo_windows", _as_windows)


def codec(encoding: str) -> tuple[str, str]:
    """The codec and error handler to read with: ASCII as UTF-8, whose stray bytes are taken for Windows-1252."""
    name = codecs.lookup(encoding).name
    if name in ("ascii", "utf-8"):
        return "utf-8", "bertdemo_windows"
    return name, "bertdemo_windows" if name == "utf-8-sig" else "replace"


def head_text(facts: FileFacts, encoding: str) -> str:
    """The file's beginning, decoded; a character that is cut off there is left out."""
    name, errors = codec(encoding)
    return codecs.getincrementaldecoder(name)(errors).decode(facts.head, final=facts.complete)


@contextmanager
def decoding(path: Path, encoding: str) -> Iterator[None]:
    """Turn bytes that are not of this encoding into one sentence."""
    try:
        yield
    except UnicodeError as exc:
        raise DataError(f"{path.name!r} cannot be decoded as {encoding}; choose another encoding.") from exc
