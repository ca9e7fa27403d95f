"""Whether bytes are told apart: encodings, and files that only pretend to be tables."""

import codecs
import gzip
import io
import os
import zipfile

import pytest

from bertdemo.mlm.data.encoding import survey_file
from bertdemo.mlm.errors import DataError


def zipped(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "<x/>")
    return out.getvalue()


OTHER_FORMATS = {
    "binary Excel workbook": zipped("xl/workbook.bin"),
    "zip archive": zipped("data.csv"),
    "zip archive; unpack": gzip.compress(zipped("data.csv")),
    "unpacks to more than 10 MB": gzip.compress(b"text\n" * 10_000_000),
    "cannot be read": gzip.compress(b"text\n" * 100)[:20],
    "old Excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600,
    "PDF": b"%PDF-1.7\n1 0 obj\n",
    "PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "web page": b"<!DOCTYPE html>\n<html><body>csv</body></html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "not a text": bytes(range(1, 32)) * 100,
    "is empty": b"",
    "empty": b"\xef\xbb\xbf\r\n \n",
}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_other_format_is_refused_in_one_sentence(kind, tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_bytes(OTHER_FORMATS[kind])
    with pytest.raises(DataError, match=kind) as refusal:
        survey_file(path)
    assert "reviews.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_file_folder_and_device_are_refused(tmp_path):
    for path, why in [
        (tmp_path / "no.csv", "no file"),
        (tmp_path, "folder"),
        ("/dev/null", "ordinary"),
        ("a\0b", "read"),
    ]:
        with pytest.raises(DataError, match=why):
            survey_file(path)


@pytest.mark.skipif(os.name == "nt", reason="permissions work otherwise on Windows")
def test_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("text\nhello\n")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(DataError, match="allow"):
            survey_file(path)
    finally:
        os.seteuid(user)


def encoding_of(data, tmp_path, **options):
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    return survey_file(path, **options).encoding


def test_encoding_is_judged_by_the_whole_file(tmp_path):
    plain = b"id,text\n" + b"1,nothing special in this line\n" * 40_000
    assert len(plain) > 1_000_000
    assert encoding_of(plain, tmp_path) == "ascii"
    assert encoding_of(plain + "2,déjà vu\n".encode("cp1252"), tmp_path) == "cp1252"
    assert encoding_of(plain + "2,déjà vu\n".encode(), tmp_path) == "utf-8"
    assert encoding_of(plain + "2,déjà vu\n".encode(), tmp_path, max_bytes=1_000_000) == "ascii"


def test_character_cut_by_the_byte_limit_is_no_damage(tmp_path):
    data = "ééééé".encode()
    assert encoding_of(data, tmp_path, max_bytes=5) == "utf-8"
    assert encoding_of("a caf\xe9".encode("cp1252"), tmp_path) == "cp1252"


def test_damaged_utf8_stays_utf8(tmp_path):
    assert encoding_of("été à la plage, déjà vu\n".encode() * 20 + b"caf\xe9\n", tmp_path) == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_decides(encoding, tmp_path):
    assert encoding_of("id,text\n1,日本語\n".encode(encoding), tmp_path) == encoding


def test_hash_is_of_the_whole_file_or_absent(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"text\n" + b"hello\n" * 10)
    assert len(survey_file(path).sha256) == 64
    assert survey_file(path, max_bytes=8).sha256 is None
    assert survey_file(path, max_bytes=10**6).sha256 == survey_file(path).sha256


def test_big_endian_mark_is_known(tmp_path):
    data = codecs.BOM_UTF16_BE + "id,text\n".encode("utf-16-be")
    assert encoding_of(data, tmp_path) == "utf-16"
