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

from charset_normalizer import from_bytes

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
_CONTROLS = bytes(sorted(set(range(32)) - set(b"\t\n\r\f\x00\x1a\x1b"))) + b"\x7f"

# Letters and signs beyond ASCII that texts of each single-byte family really use; the first family wins ties.
_WESTERN = "äöüßÄÖÜéèêëàâçîïôûùìòœÉÈÀÇÊñÑáíóúÁÍÓÚ¿¡ãõÃåæøÅÆØ’‘“”„–—…•€£°«»\xa0·´®©™½²"
_FAMILIES = (
    ("cp1252", _WESTERN),
    ("cp1250", "ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽľĺŕôäőűöüăâîşţ’“”„–—…\xa0"),
    ("cp1254", "çğıöşüÇĞİÖŞÜâîû’“”„–—…\xa0"),
    ("mac_roman", _WESTERN),
    ("cp850", _WESTERN),
)
_OTHER_SCRIPTS = [
    "cp1251",
    "koi8_r",
    "gb18030",
    "big5",
    "cp932",
    "euc_jp",
    "cp949",
    "cp1253",
    "cp1255",
    "cp1256",
    "cp874",
]


@dataclass(frozen=True)
class FileFacts:
    """What one pass over a file's bytes tells. ``sha256`` is None unless every byte was read."""

    path: Path
    size: int
    head: bytes
    encoding: str
    sha256: str | None

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
            evidence = _Utf8Evidence()
            digest = hashlib.sha256()
            block, size = head, 0
            while block:
                size += len(block)
                evidence.feed(block, path.name)
                digest.update(block)
                block = file.read(_BLOCK) if max_bytes is None else b""
    complete = max_bytes is None or size == status.st_size
    encoding = _marked_encoding(head) or evidence.encoding(complete=complete)
    return FileFacts(
        path,
        size if max_bytes is None else status.st_size,
        head,
        encoding,
        digest.hexdigest() if complete else None,
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
    if len(sample.translate(None, _CONTROLS)) < 0.9 * len(sample) and not _marked_encoding(head):
        raise DataError(f"{name!r} is not a text file; save the table as CSV.")


def _marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names, or UTF-16 given away by the zero bytes of plain letters.

    >>> _marked_encoding("id,text".encode("utf-16-le"))
    'utf-16-le'
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[:4096]
    half = len(sample) // 2
    if half and b"\x00" in sample:
        zeros_even, zeros_odd = sample[::2].count(0) / half, sample[1::2].count(0) / half
        if zeros_odd > 0.4 and zeros_even < 0.1:
            return "utf-16-le"
        if zeros_even > 0.4 and zeros_odd < 0.1:
            return "utf-16-be"
    return None


class _Utf8Evidence:
    """Fed a file block by block, says whether it is ASCII, UTF-8 (perhaps with some stray bytes) or older."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = 0
        self._good = 0
        self._bad = 0
        self._unbroken = 0
        self._sample = bytearray()

    def feed(self, block: bytes, name: str) -> None:
        self._unbroken = 0 if b"\n" in block or b"\r" in block else self._unbroken + len(block)
        if self._unbroken > LONGEST_RECORD:
            raise DataError(f"{name!r} has a line of more than 100 MB; save it as CSV with a line a row.")
        if block.isascii() and not self._pending:
            return
        text = self._decoder.decode(block)
        read = len(block) + self._pending
        self._pending = len(self._decoder.getstate()[0])
        bad = max(0, text.count("\ufffd") - block.count(b"\xef\xbf\xbd"))
        self._bad += bad
        self._good += read - self._pending - len(text)  # a character of n bytes counts n - 1
        if (bad or self._pending) and len(self._sample) < HEAD_BYTES:
            self._sample += b"\n".join(line for line in block.splitlines() if not line.isascii())

    def encoding(self, *, complete: bool) -> str:
        """The verdict; a character that is cut off counts as damage only where the file itself ends."""
        bad = self._bad + (self._pending if complete else 0)
        if not bad and not self._good:
            return "utf-8" if self._pending else "ascii"
        # Older encodings form valid UTF-8 only now and then; real UTF-8 with damage is mostly good.
        if self._good > 0.5 * bad:
            return "utf-8"
        return older_encoding(bytes(self._sample[:HEAD_BYTES]))


def older_encoding(sample: bytes) -> str:
    """The likeliest encoding of lines that are not UTF-8.

    Where ASCII letters prevail it is a Latin script, and the family whose usual letters explain the most bytes
    wins; elsewhere charset-normalizer tells the scripts apart (left free, it takes short Western texts for
    Central European or DOS ones).

    >>> older_encoding("Très déçu par cette série".encode("latin-1"))
    'cp1252'
    """
    high = sum(1 for byte in sample[:50_000] if byte >= 0x80)
    letters = sum(1 for byte in sample[:50_000] if 65 <= byte & 0xDF <= 90 and byte < 0x80)
    if high > 0.5 * letters:
        best = from_bytes(sample[:50_000], cp_isolation=_OTHER_SCRIPTS).best()
        if best is not None and best.encoding not in ("ascii", "utf_8"):
            return str(best.encoding)

    def explained(family: tuple[str, str]) -> int:
        text = sample.decode(family[0], "replace")
        usual = frozenset(family[1])
        return sum(1 for char in text if char in usual)

    return max(_FAMILIES, key=explained)[0]
