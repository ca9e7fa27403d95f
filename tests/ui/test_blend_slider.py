"""The slider between two models in Fill mask: when it is there, and that bars, files and labels follow it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from explorer_services import explorer_services, fill_view

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.blend import BlendPairs, blended
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.record import DataSource
from bertdemo.ui.fill.answer import FillView
from bertdemo.ui.fill.blend import answer_between, offer_slider
from bertdemo.ui.fill.export import predictions_file
from bertdemo.ui.services import Services

TEXT = "i really [MASK] this show ."


@pytest.fixture
def services(tmp_path: Path, tiny_bert_folder: Path) -> Services:
    return explorer_services(tmp_path / "home", model=tiny_bert_folder)


@pytest.fixture
def run_id(services: Services, tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> str:
    """A finished run whose model has other weights."""
    run = services.store.create(
        name="reviews", model=tiny_bert.ref, data=DataSource("reviews.csv", "/nowhere"), settings=TrainingConfig()
    )
    tuned = trainable(tiny_bert)
    with torch.no_grad():
        for weight in tuned.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    for part in (tuned.model, tuned.tokenizer):
        part.save_pretrained(run.model_folder)
    run.update(state="finished", steps_done=1)
    run.release()
    return run.id


def asked(model: str, compared: str) -> dict[str, object]:
    return {"text": TEXT, "strip": None, "model": model, "compared": compared, "top_k": 3}


def test_bars_and_files_follow_the_slider(services: Services, run_id: str, tiny_bert: MaskedLM) -> None:
    view, pairs, form = fill_view(), BlendPairs(), asked(services.default_model, run_id)
    tuned = services.model(run_id)
    before = {name: weight.clone() for name, weight in tuned.model.named_parameters()}
    shown = answer_between(services, pairs, view, share=0.4, **form)
    mixed = fill_masks(blended(load_masked_lm(tiny_bert.ref), tuned, 0.4), TEXT, top_k=3)
    best = mixed.masks[0].candidates[0]
    assert f"{services.label(run_id)} at 0.4" in shown[view.bars]
    assert f"→ {100 * best.probability:.1f}%" in shown[view.bars]
    record = json.loads(predictions_file(services, pairs, "json", **form, share=0.4)["text"])
    after = {word["token"]: word["after"]["probability"] for word in record["comparison"]["masks"][0]["candidates"]}
    assert after[best.token] == pytest.approx(best.probability, rel=1e-4)
    assert record["models"][1] == f"{run_id}@0.4"
    assert all(torch.equal(weight, before[name]) for name, weight in tuned.model.named_parameters())


def test_at_one_it_is_the_comparison_that_there_always_was(services: Services, run_id: str) -> None:
    view, form = fill_view(), asked(services.default_model, run_id)
    html = answer_between(services, BlendPairs(), view, share=1, **form)[view.bars]
    assert " at 1" not in html
    assert _bars(services, view, f"{run_id}@1") == _bars(services, view, run_id)
    assert "Nothing changed" in _bars(services, view, f"{run_id}@0")


def _bars(services: Services, view: FillView, compared: str) -> str:
    form = asked(services.default_model, compared)
    return answer_between(services, BlendPairs(), view, share=1, **form)[view.bars].replace(" at 1</li>", "</li>")


def test_beyond_the_models_it_says_so(services: Services, run_id: str) -> None:
    view = fill_view()
    shown = answer_between(services, BlendPairs(), view, share=1.5, **asked(services.default_model, run_id))
    assert "extrapolated" in shown[view.notes]


def test_it_is_offered_for_two_models_of_one_build(
    services: Services, run_id: str, tiny_cased_bert: MaskedLM, tmp_path: Path
) -> None:
    base = services.default_model
    assert offer_slider(services, model=base, compared=run_id).visible
    assert not offer_slider(services, model=base, compared="none").visible
    assert not offer_slider(services, model=base, compared="no/such folder").visible
    other = shutil.copytree(tiny_cased_bert.ref.source, tmp_path / "cased")
    assert not offer_slider(services, model=base, compared=str(other)).visible


def test_a_run_s_blend_goes_by_the_run_s_name(services: Services, run_id: str) -> None:
    assert services.label(f"{run_id}@0.4") == f"{services.label(run_id)} at 0.4"
    assert "reviews" in services.label(f"{run_id}@0.4")
    assert services.model("reviews@0.4").ref == ModelRef("reviews@0.4", services.resolve(f"{run_id}@0.4").source)
    with pytest.raises(ModelError, match=r"between -0\.5 and 1\.5"):
        services.model("reviews@2")
