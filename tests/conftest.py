"""Small local checkpoints of each kind of masked language model, loaded from disk as a user's would be.

They are shared by the whole session and never to be trained: ``trainable`` copies one, or load it again from its
folder (``masked_lm.ref.source``). The weights are random, fixed by a seed: predictions are arbitrary but stable.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

from bertdemo.mlm.models import device_check
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef

LENGTH = 128  # tokens that fit, special ones included
WORDS = """
i really love this show and you really like the show . the dog can bark , the cat can not bark ! we love the old house ,
they like the new car . she walked home , he talked and played all day . it was awesome , full of mystery . it sucks !
is it okay ? it is okay . the man worked as a doctor , the woman worked as a teacher . paris is the capital of france .
a good film , a bad film , a great story . my dogs love walking and talking . John lives in Paris . The Dog .
"""
TRAINING_TEXT = WORDS.strip().splitlines() * 4
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Models this small are slower on several threads, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _on_the_cpu() -> Iterator[None]:
    """Where a GPU is, the tests are of the CPU all the same, but for those marked gpu."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_check, "accelerator", lambda: None)
        yield


def _wordpiece_vocabulary(*, lowercase: bool) -> dict[str, int]:
    """BERT's own five special tokens, every character, three endings, and the words of the training text.

    Listed rather than trained: the WordPiece trainer orders its pieces differently in every process.
    """
    text = " ".join(TRAINING_TEXT)
    words = (text.lower() if lowercase else text).replace(".", " ").replace(",", " ").split()
    characters = sorted(set("".join(words)) | set(".,"))
    pieces = [*characters, *(f"##{character}" for character in characters if character.isalnum())]
    pieces += ["##ed", "##ing", "##er", *sorted(set(words))]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return {token: index for index, token in enumerate(dict.fromkeys(special + pieces))}


def _bpe(special: list[str]) -> Tokenizer:
    """A byte-level BPE whose first ids are the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    return tokenizer


def _roberta_tokenizer() -> PreTrainedTokenizerBase:
    trained = json.loads(_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]).to_str())["model"]
    return RobertaTokenizer(
        vocab=trained["vocab"],
        merges=[tuple(merge) for merge in trained["merges"]],
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=LENGTH,
    )


def _modernbert_tokenizer() -> PreTrainedTokenizerBase:
    """As ModernBERT ships it: byte-level BPE with BERT's special tokens, the mask swallowing its space."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    tokenizer = _bpe(special)
    vocabulary = tokenizer.get_vocab()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token=AddedToken("[MASK]", lstrip=True, special=True),
        model_max_length=LENGTH,
    )


def _checkpoint(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> MaskedLM:
    """Save and load again. The wide initial weights of the configurations keep words from tying."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    return MaskedLM(ModelRef(folder.name, str(folder)), loaded, AutoTokenizer.from_pretrained(folder))


def _bert(folder: Path, *, lowercase: bool) -> MaskedLM:
    vocabulary = _wordpiece_vocabulary(lowercase=lowercase)
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=lowercase, model_max_length=LENGTH)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=LENGTH, initializer_range=0.2, **SIZES)
    return _checkpoint(folder, BertForMaskedLM(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    """Uncased BERT with WordPiece."""
    return _bert(tmp_path_factory.mktemp("checkpoints") / "tiny-bert", lowercase=True)


@pytest.fixture(scope="session")
def tiny_bert_folder(tiny_bert: MaskedLM) -> Path:
    return Path(tiny_bert.ref.source)


@pytest.fixture(scope="session")
def tiny_cased_bert(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    """Cased BERT with WordPiece."""
    return _bert(tmp_path_factory.mktemp("checkpoints") / "tiny-cased-bert", lowercase=False)


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    """RoBERTa: byte-level BPE, ``<mask>``, words with their leading space, positions that start behind the padding."""
    tokenizer = _roberta_tokenizer()
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=LENGTH + 2,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        type_vocab_size=1,
        **SIZES,
    )
    return _checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-roberta", RobertaForMaskedLM(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_distilbert(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    """DistilBERT, uncased: no token types, its head spread over the model."""
    vocabulary = _wordpiece_vocabulary(lowercase=True)
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=LENGTH)
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=LENGTH,
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-distilbert"
    return _checkpoint(folder, DistilBertForMaskedLM(config), tokenizer)


@pytest.fixture(scope="session")
def tiny_modernbert(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    """ModernBERT: byte-level BPE with ``[MASK]``, rotary positions, normalised only after the last layer."""
    tokenizer = _modernbert_tokenizer()
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=LENGTH,
        initializer_range=0.2,
        initializer_cutoff_factor=3.0,
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        **SIZES,
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny-modernbert"
    return _checkpoint(folder, ModernBertForMaskedLM(config), tokenizer)


KINDS = ("tiny_bert", "tiny_cased_bert", "tiny_roberta", "tiny_distilbert", "tiny_modernbert")


@pytest.fixture(params=KINDS)
def any_tiny(request: pytest.FixtureRequest) -> MaskedLM:
    """Each kind in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def trainable() -> Callable[[MaskedLM], MaskedLM]:
    """Gives a copy of a tiny model whose weights may change."""

    def copied(masked_lm: MaskedLM) -> MaskedLM:
        return MaskedLM(masked_lm.ref, copy.deepcopy(masked_lm.model).requires_grad_(True), masked_lm.tokenizer)

    return copied
