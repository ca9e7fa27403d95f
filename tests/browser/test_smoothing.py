"""One meaning of "smoothed": the live chart's script and the figures draw the same line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import bertdemo.ui
from bertdemo.charts.look import smoothed

pytestmark = pytest.mark.browser

_CLASS = re.compile(r"^class LossCurve \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("count", [5, 400, 3000])
def test_the_script_smooths_as_python_does(browser, count: int) -> None:
    losses = [None if step % 97 == 13 else 3.0 + (step * 7919 % 101) / 100 - step / count for step in range(count)]
    sources = [path.read_text(encoding="utf-8") for path in Path(bertdemo.ui.__file__).parent.rglob("*.js")]
    (curve,) = [found.group() for source in sources if (found := _CLASS.search(source))]
    steps, values = json.dumps(list(range(1, count + 1))), json.dumps(losses)
    page = browser.new_page()
    drawn = page.evaluate(
        f"(() => {{ {curve} const curve = new LossCurve(); curve.clear({count}); "
        f"return curve.add({steps}, {values}).smooth; }})()"
    )
    page.close()
    assert [value is None for value in drawn] == [loss is None for loss in losses]
    expected = [value for value in smoothed(losses) if value is not None]
    assert [value for value in drawn if value is not None] == pytest.approx(expected)
