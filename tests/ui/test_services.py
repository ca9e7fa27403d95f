"""The edge where errors become sentences for the reader."""

from __future__ import annotations

import logging

import gradio as gr
import pytest

from bertdemo.mlm.errors import DataError
from bertdemo.ui.services import A_BUG, user_errors


def test_our_own_error_reaches_the_reader_as_text() -> None:
    with pytest.raises(gr.Error) as caught, user_errors():
        raise DataError("The file <img src=x> is empty; choose another one.")
    assert caught.value.message == "The file &lt;img src=x&gt; is empty; choose another one."


def test_a_bug_is_logged_with_its_traceback_and_told_without_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught, user_errors():
        raise ZeroDivisionError("secret detail")
    assert caught.value.message == A_BUG
    assert "ZeroDivisionError: secret detail" in caplog.text


def test_what_a_handler_says_itself_passes_unchanged() -> None:
    with pytest.raises(gr.Error, match="as it is"), user_errors():
        raise gr.Error("as it is")
