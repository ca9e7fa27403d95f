"""A model between two: against plain arithmetic on the two checkpoints, exact at both ends, neither changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.blend import BlendPair, BlendPairs, blended, split_reference
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.models.registry import ModelRegistry

TEXT = "i really [MASK] this show ."


def weights(masked_lm: MaskedLM) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in masked_lm.model.named_parameters()}


@pytest.fixture
def tuned(any_tiny: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM], tmp_path: Path) -> MaskedLM:
    """The tiny model with every weight moved, saved and loaded as a run's would be."""
    moved = trainable(any_tiny)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in moved.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    for part in (moved.model, moved.tokenizer):
        part.save_pretrained(tmp_path / "tuned")
    return load_masked_lm(ModelRef("tuned", str(tmp_path / "tuned")))


@pytest.mark.parametrize("share", [0.3, 0.75, 1.25, -0.5])
def test_a_blend_is_plain_arithmetic_on_the_two_checkpoints(
    any_tiny: MaskedLM, tuned: MaskedLM, share: float, tmp_path: Path
) -> None:
    first, last = (load_file(Path(one.ref.source) / "model.safetensors") for one in (any_tiny, tuned))
    plain = AutoModelForMaskedLM.from_pretrained(tuned.ref.source)
    state = plain.state_dict()
    for name in first.keys() & state.keys():
        state[name].copy_((1 - share) * first[name] + share * last[name])
    text = TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token)
    mixed = blended(any_tiny, tuned, share)
    filled = fill_masks(mixed, text, top_k=10)
    with torch.no_grad():
        logits = plain.eval()(torch.tensor([filled.prepared.token_ids])).logits[0, filled.masks[0].position]
    expected = logits.softmax(-1)
    for candidate in filled.masks[0].candidates:
        assert candidate.probability == pytest.approx(float(expected[candidate.token_id]), rel=1e-3, abs=1e-7)
    assert bool(mixed.notes and "extrapolated" in mixed.notes[0]) == (not 0 <= share <= 1)


def test_the_ends_are_the_two_models_and_neither_is_written_to(any_tiny: MaskedLM, tuned: MaskedLM) -> None:
    base = load_masked_lm(any_tiny.ref)
    before, after = weights(base), weights(tuned)
    pair = BlendPair(base, tuned)
    text = TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token)
    for share, end in ((0.0, base), (0.4, None), (1.0, tuned), (0.0, base)):
        with pair.at(share) as mixed:
            if end is not None:
                assert fill_masks(mixed, text, top_k=20).masks == fill_masks(end, text, top_k=20).masks
                assert all(torch.equal(weight, weights(end)[name]) for name, weight in weights(mixed).items())
    assert all(torch.equal(weight, before[name]) for name, weight in weights(base).items())
    assert all(torch.equal(weight, after[name]) for name, weight in weights(tuned).items())


def test_a_pair_is_kept_until_one_of_its_models_is_loaded_anew(tiny_bert: MaskedLM) -> None:
    again, third = (load_masked_lm(tiny_bert.ref) for _ in range(2))
    pairs = BlendPairs()
    assert pairs.of(tiny_bert, again) is pairs.of(tiny_bert, again)
    assert pairs.of(tiny_bert, third) is not pairs.of(tiny_bert, again)


def test_models_of_two_builds_have_nothing_between_them(tiny_bert: MaskedLM, tiny_cased_bert: MaskedLM) -> None:
    with pytest.raises(ModelError, match="not of one build"):
        blended(tiny_bert, tiny_cased_bert, 0.5)


@pytest.mark.parametrize("share", [-0.51, 1.51, float("nan")])
def test_a_share_far_outside_is_refused(tiny_bert: MaskedLM, share: float) -> None:
    with pytest.raises(ModelError, match=r"between -0\.5 and 1\.5"):
        blended(tiny_bert, tiny_bert, share)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("my run@0.4", ("my run", 0.4)),
        ("20261122-1130-reviews-ab12@best@-0.5", ("20261122-1130-reviews-ab12@best", -0.5)),
        ("a@.25", ("a", 0.25)),
        ("a@best", None),
        ("a@", None),
        ("@0.4", None),
        ("google-bert/bert-base-uncased", None),
    ],
)
def test_what_names_a_blend(reference: str, parts: tuple[str, float] | None) -> None:
    assert split_reference(reference) == parts


@pytest.mark.parametrize("any_tiny", ["tiny_bert"], indirect=True)
def test_the_registry_finds_blends_loads_them_once_and_lends_copies(tiny_bert: MaskedLM, tuned: MaskedLM) -> None:
    bases = {Path(tuned.ref.source): tiny_bert.ref}
    registry = ModelRegistry(None, bundled=Path(tiny_bert.ref.source), base_lookup=bases.get)
    ref = registry.resolve(f"{tuned.ref.source}@0.4")
    assert ref.label.endswith("@0.4")
    shared = registry.shared(ref)
    assert registry.shared(ref) is shared
    expected = weights(blended(tiny_bert, tuned, 0.4))
    assert all(torch.equal(weight, expected[name]) for name, weight in weights(shared).items())
    ends = {share: registry.shared(registry.resolve(f"{tuned.ref.source}@{share}")) for share in (0, 1)}
    assert fill_masks(ends[0], TEXT).masks == fill_masks(registry.shared(tiny_bert.ref), TEXT).masks
    assert fill_masks(ends[1], TEXT).masks == fill_masks(registry.shared(tuned.ref), TEXT).masks
    own = registry.private_copy(ref)
    assert all(weight.requires_grad for weight in own.model.parameters())
    with pytest.raises(ModelError, match="not known what"):
        registry.resolve("mini-bert@0.4")
    with pytest.raises(ModelError, match="no model's name here"):
        registry.resolve(f"{tuned.ref.source}@0.4", allow_folders=False)


def test_an_exported_blend_is_a_checkpoint_like_any_other(tiny_bert: MaskedLM, tmp_path: Path) -> None:
    moved = load_masked_lm(tiny_bert.ref)
    with torch.no_grad():
        moved.model.get_input_embeddings().weight.mul_(1.5)
    mixed = blended(tiny_bert, moved, 0.5)
    for part in (mixed.model, mixed.tokenizer):
        part.save_pretrained(tmp_path)
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert torch.equal(loaded.get_input_embeddings().weight, mixed.model.get_input_embeddings().weight)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == tiny_bert.tokenizer.get_vocab()
