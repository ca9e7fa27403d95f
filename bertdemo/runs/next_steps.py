"""What to do with a trained model outside this project: four short pieces of code that run as they are.

They stand beside the folder ``model`` of a run, or of the zip that it is downloaded as. A test runs each of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NextStep:
    """``needs``: what has to be installed for it, beyond transformers and torch."""

    title: str
    code: str
    needs: str = ""


FILL = """\
from transformers import pipeline

fill = pipeline("fill-mask", model="model")
for guess in fill(f"I really {fill.tokenizer.mask_token} this show!"):
    print(f"{guess['score']:.3f}  {guess['token_str']}")
"""

VECTORS = """\
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("model")
model = AutoModel.from_pretrained("model").eval()  # without the head: it warns of weights that are not used
texts = ["A film that I love.", "A movie that I like.", "The train leaves at nine."]
batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    hidden = model(**batch).last_hidden_state  # (texts, tokens, size)
real = batch["attention_mask"][:, :, None]
vectors = (hidden * real).sum(dim=1) / real.sum(dim=1)  # the mean over real tokens, padding left out
print(torch.nn.functional.cosine_similarity(vectors[:1], vectors))
"""

CLASSIFIER = """\
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

texts = ["I love it!", "A great story.", "So boring.", "I hated the music."]  # yours: some hundreds of each kind
labels = torch.tensor([1, 1, 0, 0])
tokenizer = AutoTokenizer.from_pretrained("model")
model = AutoModelForSequenceClassification.from_pretrained("model", num_labels=2)  # with a new head, to be trained
batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
model.train()
for epoch in range(3):
    loss = model(**batch, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}")
model.save_pretrained("classifier")
tokenizer.save_pretrained("classifier")
"""

ONNX = """\
from optimum.onnxruntime import ORTModelForMaskedLM
from transformers import AutoTokenizer

model = ORTModelForMaskedLM.from_pretrained("model", export=True)  # for browsers, phones and other languages
model.save_pretrained("onnx")
tokenizer = AutoTokenizer.from_pretrained("model")
tokenizer.save_pretrained("onnx")
batch = tokenizer(f"I really {tokenizer.mask_token} this show!", return_tensors="pt")
place = batch["input_ids"][0].tolist().index(tokenizer.mask_token_id)
print(tokenizer.decode(model(**batch).logits[0, place].argmax()))
"""

NEXT_STEPS = (
    NextStep("Fill masks with transformers", FILL),
    NextStep("Sentences as vectors", VECTORS),
    NextStep("A classifier on top", CLASSIFIER),
    NextStep("In another tool, as ONNX", ONNX, needs="optimum[onnxruntime]"),
)
