"""A device is taken if it gives what the CPU gives; one that errs, disagrees or has no memory is not, and is said."""

from __future__ import annotations

import json
import re

import pytest
import torch
from command_line import command
from transformers import BertForMaskedLM

from bertdemo.mlm.models import device_check
from bertdemo.mlm.models.architectures import mlm_head
from bertdemo.mlm.models.device_check import TOLERANCES, choose_device, step_and_fill
from bertdemo.mlm.models.devices import CPU, is_out_of_memory
from bertdemo.mlm.models.encoder import plain_encoder

META = torch.device("meta")  # a device that holds no numbers: what asks for one errs
GOOD = torch.zeros(3)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch):
    """Says which accelerator is there."""
    monkeypatch.setattr(device_check, "automatic_precision", lambda device: "bf16")

    def say(device: torch.device | None) -> None:
        monkeypatch.setattr(device_check, "accelerator", lambda: device)

    return say


def imitation(on_device: object):
    """A trial that gives zeros on the CPU; on the other device what is given, or raises it."""

    def trial(device: torch.device, precision: str) -> torch.Tensor:
        found = GOOD if device == CPU else on_device(precision) if callable(on_device) else on_device
        if isinstance(found, Exception):
            raise found
        return found

    return trial


def test_a_device_that_agrees_is_taken_and_tried_once_for_all(there) -> None:
    there(META)
    tried: list[str] = []

    def agreeing(precision: str) -> torch.Tensor:
        tried.append(precision)
        return GOOD + TOLERANCES[precision] / 2

    trial = imitation(agreeing)
    for wanted in (None, "auto", "meta"):
        assert choose_device(wanted, trial=trial) == device_check.ChosenDevice(META)
    assert tried == ["fp32", "bf16"]


@pytest.mark.parametrize(
    ("on_device", "sentence"),
    [
        (GOOD + 0.01, r"gives other numbers than the CPU \(fp32: 0.01 apart\); the CPU is used instead"),
        (GOOD * torch.nan, r"gives other numbers than the CPU \(fp32: nan apart\)"),
        (lambda precision: GOOD + (precision == "bf16"), r"\(bf16: 1 apart\)"),
        (
            RuntimeError("no kernel image\nis available"),
            r"failed at a training step .* \(no kernel image is available\)",
        ),
        (NotImplementedError(), r"\(NotImplementedError\)"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "has no memory left"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"), "has no memory left"),
    ],
    ids=["disagrees", "nan", "only-bf16-disagrees", "errs", "errs-without-a-word", "cuda-memory", "mps-memory"],
)
def test_any_other_is_not_and_it_is_said_why(there, on_device: object, sentence: str) -> None:
    there(META)
    chosen = choose_device(trial=imitation(on_device))
    assert chosen.device == CPU
    assert "\n" not in chosen.note
    assert re.search(sentence, chosen.note), chosen.note


def test_a_device_that_had_no_memory_is_tried_again(there) -> None:
    there(META)
    answers = iter([torch.OutOfMemoryError("out of memory"), GOOD, GOOD])
    trial = imitation(lambda precision: next(answers))
    assert choose_device(trial=trial).device == CPU
    assert choose_device(trial=trial).device == META


def test_a_device_that_is_not_there_is_said_and_none_is_missed_where_none_was_named(there) -> None:
    there(None)
    assert choose_device("auto") == choose_device() == choose_device("cpu") == device_check.ChosenDevice(CPU)
    note = "PyTorch finds no device cuda on this machine (there is no accelerator), so the CPU is used."
    assert choose_device("cuda").note == note
    there(torch.device("mps:0"))
    assert "there is mps" in choose_device("xpu").note
    assert choose_device("cpu") == device_check.ChosenDevice(CPU)


def test_the_trial_trains_and_is_the_same_every_time() -> None:
    state = torch.random.get_rng_state()
    first, again, rough = (step_and_fill(CPU, precision) for precision in ("fp32", "fp32", "bf16"))
    assert torch.equal(first, again)
    assert first.shape == (1 + 3 * 64,)
    assert first[1:].view(3, 64).exp().sum(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert 0 < (first - rough).abs().max() < TOLERANCES["bf16"]
    untrained = device_check._tiny_model()
    head, encoder = mlm_head(untrained), plain_encoder(untrained)
    token_ids = torch.arange(16).view(2, 8) * 7 % 59 + 5
    attention = (torch.arange(8) < torch.tensor([[8], [5]])).long()
    before = head(encoder(token_ids, attention, torch.tensor([1, 6, 10]))).log_softmax(dim=-1).flatten()
    assert (first[1:] - before).abs().max() > 100 * TOLERANCES["fp32"]  # a step that did nothing would be seen
    assert torch.equal(torch.random.get_rng_state(), state)


def test_out_of_memory_is_known_by_apples_words_too() -> None:
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"))
    assert not is_out_of_memory(RuntimeError("MPS backend does not support this"))


@pytest.mark.parametrize("padded", [True, False])
def test_a_step_asks_nothing_of_the_device_that_holds_the_tokens(padded: bool, monkeypatch) -> None:
    """On a GPU each such question is a wait; "meta" has no answers, so that a question is an error."""
    monkeypatch.setattr("bertdemo.mlm.models.encoder._as_autocast", lambda hidden: hidden)  # "meta" has none
    model: BertForMaskedLM = device_check._tiny_model().to(META)
    head, encoder = mlm_head(model), plain_encoder(model)
    attention = (torch.arange(8) < torch.tensor([[8], [5]])).long() if padded else None
    hidden = encoder(torch.zeros(2, 8, dtype=torch.int64, device=META), attention, torch.tensor([1, 6, 10]))
    loss = torch.nn.functional.cross_entropy(head(hidden), torch.zeros(3, dtype=torch.int64, device=META))
    loss.backward()
    assert hidden.device == model.bert.embeddings.word_embeddings.weight.grad.device == META


def test_a_run_says_and_records_what_it_trains_on(there, tmp_path, tiny_bert_folder) -> None:
    """The accelerator here is one that errs at the trial itself."""
    there(META)
    data = tmp_path / "rows.csv"
    data.write_text("text\n" + "\n".join(f"the old show was loved on day {n}" for n in range(20)), encoding="utf-8")
    order = ["train", data, "--model", tiny_bert_folder, "--epochs", 1, "--home", tmp_path, "--json"]
    for name, options, said in (("a", [], "meta is not used"), ("b", ["--device", "xpu"], "no device xpu")):
        outcome = command(*order, *options, "--output", tmp_path / name)
        assert outcome.code == 0, outcome.err
        (started,) = outcome.events("started")
        assert started["device"] == "cpu"
        assert [warning for warning in outcome.events("warning") if said in warning["message"]]
        record = json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8"))
        assert record["device"] == "cpu"
        assert record["settings"]["device"] == (options[1] if options else None)
    refused = command(*order, "--device", "tpu", "--output", tmp_path / "c")
    assert (refused.code, refused.out) == (2, "")
    assert "auto or cpu or cuda or mps or xpu" in refused.err
