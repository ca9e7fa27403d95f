"""References to models, loading them, and sharing them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from stand_in_hub import StandInHub, serving
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.models.registry import (
    BUNDLED_MODEL,
    DEFAULT_LEARNING_RATES,
    ModelRegistry,
    bundled_assets,
    default_learning_rate,
    load_masked_lm,
)


@pytest.fixture
def registry(tiny_bert_folder: Path, tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "home", bundled=tiny_bert_folder)


@pytest.fixture
def copied(tiny_bert_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that the test may spoil."""
    return Path(shutil.copytree(tiny_bert_folder, tmp_path / "copied"))


def _ref(folder: Path) -> ModelRef:
    return ModelRef(folder.name, str(folder))


def _refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_masked_lm(_ref(folder))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert folder.name in sentence
    return sentence


# --- what a reference means


def test_the_bundled_model_comes_first(
    registry: ModelRegistry, tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bert_folder, tmp_path / BUNDLED_MODEL)
    monkeypatch.chdir(tmp_path)
    assert registry.resolve(" mini-bert ") == ModelRef("mini-bert", str(tiny_bert_folder))


def test_a_folder_is_found_relative_to_the_current_one(
    registry: ModelRegistry, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied.parent)
    assert registry.resolve("copied") == ModelRef("copied", str(copied))
    assert registry.resolve(str(copied)).source == str(copied)


def test_a_runs_folder_means_its_model(registry: ModelRegistry, copied: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(copied, run / "model")
    assert registry.resolve(str(run)).source == str(run / "model")
    assert registry.resolve(str(run / "model")).source == str(run / "model")


def test_a_run_is_found_by_its_name_behind_folders(tiny_bert_folder: Path, copied: Path, tmp_path: Path) -> None:
    shutil.copytree(copied, tmp_path / "runs" / "7" / "model")
    runs = {"my trial": tmp_path / "runs" / "7"}
    registry = ModelRegistry(None, bundled=tiny_bert_folder, run_lookup=runs.get)
    found = registry.resolve("my trial", allow_folders=False)
    assert found == ModelRef("my trial", str(tmp_path / "runs" / "7" / "model"))


def test_a_run_without_a_model_says_so_instead_of_asking_the_hub(tiny_bert_folder: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(None, bundled=tiny_bert_folder, run_lookup=lambda name: tmp_path)
    with pytest.raises(ModelError, match="holds no model"):
        registry.resolve("half-done")


def test_anything_else_well_formed_is_a_hub_id(registry: ModelRegistry) -> None:
    ref = registry.resolve("google-bert/bert-base-uncased")
    assert ref == ModelRef("google-bert/bert-base-uncased", "google-bert/bert-base-uncased")


@pytest.mark.parametrize(
    "reference",
    ["", "   ", "../../etc", "/etc/passwd", "a/b/c", "x\0y", "C:\\models", "x" * 5000, "<b>bert</b>", "日本"],
)
def test_what_can_mean_nothing_is_refused_in_one_sentence(registry: ModelRegistry, reference: str) -> None:
    for allow_folders in (True, False):
        with pytest.raises(ModelError) as caught:
            registry.resolve(reference, allow_folders=allow_folders)
        assert "\n" not in str(caught.value)


def test_folders_stay_closed_but_for_those_at_home(registry: ModelRegistry, copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="folders are not open"):
        registry.resolve(str(copied), allow_folders=False)
    own = tmp_path / "home" / "runs" / "1" / "model"
    shutil.copytree(copied, own)
    assert registry.resolve(str(own), allow_folders=False).source == str(own)
    with pytest.raises(ModelError, match="folders are not open"):
        registry.resolve(str(tmp_path / "home" / ".." / "copied"), allow_folders=False)


# --- loading


def test_weights_load_as_float32_and_ready_to_read(any_tiny: MaskedLM) -> None:
    loaded = load_masked_lm(any_tiny.ref)
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    for name, weight in any_tiny.model.state_dict().items():
        assert torch.equal(weight, loaded.model.state_dict()[name]), name


def test_half_precision_on_disk_becomes_float32(copied: Path) -> None:
    BertForMaskedLM.from_pretrained(copied).half().save_pretrained(copied)
    assert load_file(copied / "model.safetensors")["cls.predictions.bias"].dtype == torch.float16
    assert load_masked_lm(_ref(copied)).model.dtype == torch.float32


def test_tied_weights_need_not_be_in_the_file(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    assert not any("decoder" in name for name in weights)
    head = load_masked_lm(_ref(copied)).model.cls.predictions.decoder
    assert torch.equal(head.weight, weights["bert.embeddings.word_embeddings.weight"])
    assert torch.equal(head.bias, weights["cls.predictions.bias"])


def test_a_head_with_one_weight_missing_is_refused(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    del weights["cls.predictions.transform.dense.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert "cls.predictions.transform.dense.weight" in _refusal(copied)


def test_a_classifier_is_refused_because_its_head_would_be_random(copied: Path) -> None:
    config = BertConfig.from_pretrained(copied)
    BertForSequenceClassification(config).save_pretrained(copied)
    assert "random" in _refusal(copied)


def test_a_causal_model_is_refused(copied: Path) -> None:
    GPT2LMHeadModel(GPT2Config(vocab_size=200, n_embd=8, n_layer=1, n_head=1)).save_pretrained(copied)
    assert "cannot fill masks" in _refusal(copied)


def test_a_pickle_is_refused_unread(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    assert "pickle" in _refusal(copied)


def test_truncated_weights_are_refused(copied: Path) -> None:
    weights = copied / "model.safetensors"
    for size in (0, 5, weights.stat().st_size // 2):
        os.truncate(weights, size)
        assert "cut short" in _refusal(copied)


def test_weights_of_another_size_are_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    assert "do not fit" in _refusal(copied)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": "no-such-model"}', '{"hidden_size": "x"}'])
def test_a_damaged_config_is_refused(copied: Path, content: str) -> None:
    (copied / "config.json").write_text(content)
    assert "config.json" in _refusal(copied)


def test_a_model_that_needs_its_own_code_is_refused_and_the_code_never_runs(copied: Path, tmp_path: Path) -> None:
    (copied / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\nclass Evil: pass\n")
    auto_map = {"AutoConfig": "evil.Evil", "AutoModelForMaskedLM": "evil.Evil"}
    (copied / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto_map}))
    assert "never run" in _refusal(copied)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", ["", "{}", None])
def test_a_missing_or_damaged_tokenizer_is_refused(copied: Path, content: str | None) -> None:
    if content is None:
        (copied / "tokenizer.json").unlink()
    else:
        (copied / "tokenizer.json").write_text(content)
    assert "tokenizer" in _refusal(copied)


def test_a_tokenizer_without_mask_token_is_refused(copied: Path) -> None:
    for name in ("tokenizer_config.json", "tokenizer.json"):
        (copied / name).unlink()
    _maskless_tokenizer().save_pretrained(copied)
    assert "no mask token" in _refusal(copied)


def _maskless_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def test_a_tokenizer_of_another_model_is_refused(copied: Path) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(500))]
    BertTokenizer(vocab={word: index for index, word in enumerate(vocabulary)}).save_pretrained(copied)
    assert "do not belong together" in _refusal(copied)


def test_a_folder_that_is_gone_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "config.json" in _refusal(tmp_path / "empty")
    assert "no longer" in _refusal(tmp_path / "gone")


def test_loading_prints_nothing(
    copied: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    BertForSequenceClassification(BertConfig.from_pretrained(copied)).save_pretrained(copied)
    capfd.readouterr()
    _refusal(copied)  # transformers would print a report of the missing weights
    assert capfd.readouterr() == ("", "")


# --- the hub


@pytest.fixture
def hub(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandInHub]]:
    with serving(copied, cache=tmp_path / "cache", monkeypatch=monkeypatch) as handler:
        yield handler


HUB_REF = ModelRef("someone/bert", "someone/bert")


def test_a_hub_model_is_downloaded_once_and_then_needs_no_network(
    hub: type[StandInHub], tiny_bert: MaskedLM, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (hub.folder / "pytorch_model.bin").write_bytes(b"never wanted")
    (hub.folder / "modeling_evil.py").write_text("raise SystemExit")
    loaded = load_masked_lm(HUB_REF)
    assert torch.equal(loaded.model.cls.predictions.bias, tiny_bert.model.cls.predictions.bias)
    asked = hub.requests
    load_masked_lm(HUB_REF)
    assert hub.requests == asked
    downloaded = {path.name for path in (tmp_path / "cache").rglob("*")}
    assert not {"pytorch_model.bin", "modeling_evil.py"} & downloaded
    assert capfd.readouterr() == ("", "")


def test_a_hub_model_with_pickles_only_is_refused_before_the_download(hub: type[StandInHub], tmp_path: Path) -> None:
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        load_masked_lm(HUB_REF)
    assert not (tmp_path / "cache").exists()


def test_a_hub_model_that_would_fill_the_disk_is_refused_before_the_download(
    hub: type[StandInHub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertdemo.mlm.models.hub.MAX_BYTES", 1000)
    with pytest.raises(ModelError, match="GB of weights"):
        load_masked_lm(HUB_REF)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("status", "words"), [(404, "status 404"), (401, "status 401"), (503, "status 503")])
def test_what_the_hub_refuses_is_one_sentence(hub: type[StandInHub], status: int, words: str) -> None:
    hub.status = status
    with pytest.raises(ModelError, match=words):
        load_masked_lm(HUB_REF)
    assert hub.requests < 5


def test_offline_and_out_of_reach_are_one_sentence_each(hub: type[StandInHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="out of reach"):
        load_masked_lm(HUB_REF)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        load_masked_lm(HUB_REF)
    assert hub.requests == 0


# --- sharing


def test_a_shared_model_is_loaded_once_for_all_threads(registry: ModelRegistry, tiny_bert_folder: Path) -> None:
    ref = registry.resolve("mini-bert")
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: registry.shared(ref), range(16)))
    assert len({id(model) for model in models}) == 1
    assert not models[0].model.training
    assert not any(parameter.requires_grad for parameter in models[0].model.parameters())


def test_a_private_copy_may_change_without_touching_the_shared_one(registry: ModelRegistry) -> None:
    ref = registry.resolve("mini-bert")
    shared, private = registry.shared(ref), registry.private_copy(ref)
    before = shared.model.cls.predictions.bias.clone()
    assert all(parameter.requires_grad for parameter in private.model.parameters())
    with torch.no_grad():
        private.model.cls.predictions.bias.add_(1)
    assert torch.equal(shared.model.cls.predictions.bias, before)
    assert registry.shared(ref) is shared


def test_the_longest_unused_model_goes_first(tiny_bert_folder: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(None, bundled=tiny_bert_folder, max_models=2)
    refs = [_ref(Path(shutil.copytree(tiny_bert_folder, tmp_path / name))) for name in "abc"]
    first, second = registry.shared(refs[0]), registry.shared(refs[1])
    assert registry.shared(refs[0]) is first
    registry.shared(refs[2])
    assert registry.shared(refs[0]) is first
    assert registry.shared(refs[1]) is not second


def test_a_model_saved_anew_is_loaded_anew_and_a_deleted_one_is_refused(registry: ModelRegistry, copied: Path) -> None:
    ref = registry.resolve(str(copied))
    old = registry.shared(ref)
    model = BertForMaskedLM.from_pretrained(copied)
    with torch.no_grad():
        model.cls.predictions.bias.add_(1)
    model.save_pretrained(copied)
    os.utime(copied / "model.safetensors", (1, 1))
    new = registry.shared(ref)
    torch.testing.assert_close(new.model.cls.predictions.bias, old.model.cls.predictions.bias + 1)
    shutil.rmtree(copied)
    with pytest.raises(ModelError, match="no longer"):
        registry.shared(ref)


def test_a_forgotten_model_is_loaded_again(registry: ModelRegistry) -> None:
    ref = registry.resolve("mini-bert")
    old = registry.shared(ref)
    registry.forget(ref)
    registry.forget(ref)
    assert registry.shared(ref) is not old


# --- what is bundled


def test_the_assets_are_found_beside_the_package() -> None:
    assert (bundled_assets() / "general_english.txt").is_file()


def test_learning_rates_follow_the_bundled_model_to_what_was_tuned_from_it(
    tiny_bert_folder: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bert_folder, tmp_path / "assets" / BUNDLED_MODEL)
    monkeypatch.setattr("bertdemo.mlm.models.loading.bundled_assets", lambda: tmp_path / "assets")
    bundled = DEFAULT_LEARNING_RATES[BUNDLED_MODEL]
    assert default_learning_rate(ModelRef(BUNDLED_MODEL, "anywhere")) == bundled
    assert default_learning_rate(_ref(copied)) == bundled
    assert default_learning_rate(ModelRef("google-bert/bert-base-uncased", "google-bert/bert-base-uncased")) == 5e-5
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "hidden_size": 768}))
    assert default_learning_rate(_ref(copied)) == 5e-5
