"""What hypothesis draws for the texts, files and arguments that strangers send, and what must be true of every answer.

The same at every length of run: some dozens of cases in the ordinary tests, thousands in the long ones.
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.data.corpus import preview, read_texts
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_text

if TYPE_CHECKING:
    from bertdemo.ui.api import Endpoints

FAST = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
LONG = settings(FAST, max_examples=2000)  # for make stress

PIECES = (
    *(
        "[MASK]",
        "[mask]",
        "<mask>",
        "[ MASK ]",
        "___",
        "__",
        "[SEP]",
        "[CLS]",
        "[PAD]",
        "[UNK]",
        "</s>",
        "<s>",
        "<pad>",
    ),
    *("the", "dog", "##ed", "love", ".", ",", "!", " ", "\n", "\t", "\0", "\x1b", "\x7f", "\u200b", "\u200f", "\ufeff"),
    *(
        "é",
        "e\u0301",
        "\u0301",
        "日本",
        "語。",
        "שלום",
        "مرحبا",
        "👩‍👩‍👧",
        "🏳️‍🌈",
        "\ud800",
        "\U0010ffff",
        "ﷺ",
        "İ",
        "ß",
    ),
    *(
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "{{7*7}}",
        "${x}",
        "=HYPERLINK(1)",
        "../../x",
        "%00",
    ),
)
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text(max_size=60),
    st.text(st.characters(), max_size=20).map(lambda text: f"{text} [MASK] {text}"),
    st.tuples(st.sampled_from(PIECES), st.integers(1, 400)).map(lambda pair: f"[MASK] {pair[0] * pair[1]} [MASK]."),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, 1, -1, 2, 5, 1.5, 1e6, 1e9, 2**31, 2**53 + 1, 2**63, 10**400, -(10**400), True, False]),
    st.sampled_from(["5e-5", "5,e-5", "abc", "", " 3 ", "0x10", "1_000", "nan", "inf", "-0", "٣", "1e400"]),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
REFERENCES = st.one_of(
    st.sampled_from(
        [
            *(
                "mini-bert",
                "",
                " ",
                ".",
                "..",
                "/",
                "/etc",
                "~",
                "../..",
                "\0",
                "/\0",
                "a/b/c",
                "CON",
                "-",
                "--x",
                "a" * 300,
            ),
            *(
                "/proc/self",
                "/dev/null",
                "\ud800",
                "/\ud800",
                "file:///etc/passwd",
                "http://127.0.0.1/x",
                "x/y@z",
                "none",
            ),
        ]
    ),
    st.text(max_size=20),
    JSON,
)
ARGUMENTS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "fill_mask": st.tuples(TEXTS | JSON, REFERENCES, NUMBERS | JSON, TEXTS | JSON),
    "compare": st.tuples(TEXTS | JSON, REFERENCES, REFERENCES, NUMBERS | JSON),
    "score_sentence": st.tuples(TEXTS | JSON, REFERENCES),
    "run_status": st.tuples(REFERENCES, NUMBERS | JSON),
    "stop_training": st.tuples(REFERENCES, TEXTS | JSON),
    "inspect_csv": st.tuples(st.none() | st.just(""), TEXTS | JSON, REFERENCES, NUMBERS | JSON),
}
TRAINING_ARGUMENTS: st.SearchStrategy[tuple[Any, ...]] = st.tuples(
    TEXTS | JSON, REFERENCES, *[NUMBERS | JSON] * 7, *[TEXTS | JSON | st.lists(TEXTS, max_size=3)] * 5
)
CELLS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "NaN", "5", "2024-01-01", '"', '""', '\\"', "a,b", "c;d\n", "sep=;", "\x00", "\ufeff", "日本語"]
    ),
    st.integers(0, 99).map(lambda number: f"The show number {number} was a long story, and I liked it."),
)


@st.composite
def table_bytes(draw: st.DrawFn) -> bytes:
    """A table in some dialect and encoding, quoted as it should be or not at all."""
    rows = draw(st.lists(st.lists(CELLS, max_size=4), max_size=14))
    delimiter, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "gb18030"]))
    out = io.StringIO()
    if draw(st.booleans()):
        csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)
    else:
        out.write(end.join(delimiter.join(row) for row in rows))
    return out.getvalue().encode(encoding, "replace")


FILES = st.one_of(st.binary(max_size=400), table_bytes())


def check_any_text(masked_lm: MaskedLM, text: str, *, top_k: int, targets: list[str]) -> None:
    """An answer with true probabilities, or one sentence; and what was prepared reads the same from its ids."""
    try:
        filled = fill_masks(masked_lm, text, top_k=top_k, targets=targets)
    except BertDemoError as error:
        return assert_is_a_sentence(str(error))
    assert_is_an_answer(filled.to_record(), masks=len(filled.masks))
    again = prepare_text(masked_lm, filled.prepared.text)
    assert again.token_ids == filled.prepared.token_ids
    return None


def check_any_score(masked_lm: MaskedLM, text: str) -> None:
    try:
        score = score_sentence(masked_lm, text)
    except BertDemoError as error:
        return assert_is_a_sentence(str(error))
    surprisals = [token.surprisal_bits for token in score.tokens if token.surprisal_bits is not None]
    assert all(bits >= 0 for bits in surprisals)
    assert math.isclose(-score.pll, math.fsum(surprisals) * math.log(2), rel_tol=1e-6, abs_tol=1e-6)
    json.dumps(score.to_record(), allow_nan=False)
    return None


def check_any_comparison(before: MaskedLM, after: MaskedLM, text: str, *, top_k: object) -> None:
    try:
        record = compare(before, after, text, top_k=top_k).to_record()
    except BertDemoError as error:
        return assert_is_a_sentence(str(error))
    json.dumps(record, allow_nan=False)
    return None


def check_any_file(path: Path) -> None:
    """A reading whose rows add up, or one sentence."""
    for read in (lambda: preview(path).report, lambda: preview(path, max_bytes=64).report, lambda: read_texts(path)[1]):
        try:
            report = read()
        except BertDemoError as error:
            assert_is_a_sentence(str(error))
        else:
            assert report.rows == report.used + report.empty + report.duplicate


def assert_is_a_sentence(text: str) -> None:
    assert text
    assert "\n" not in text
    assert text[-1] in ".!?)"
    assert "Traceback" not in text


def assert_is_an_answer(record: dict, *, masks: int) -> None:
    json.dumps(record, allow_nan=False).encode("utf-8")
    assert len(record["masks"]) == masks
    for mask in record["masks"]:
        probabilities = [candidate["probability"] for candidate in mask["candidates"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < math.fsum(probabilities) <= 1 + 1e-5


def check_endpoint(endpoints: Endpoints, name: str, arguments: tuple[Any, ...]) -> None:
    """An answer that is JSON, or a sentence that is not the one for bugs."""
    import gradio as gr

    from bertdemo.ui.services import A_BUG

    try:
        said = json.dumps(getattr(endpoints, name)(*arguments), allow_nan=False)
    except gr.Error as error:
        said = error.message
    assert said != A_BUG
    assert "\n" not in said
    said.encode()
