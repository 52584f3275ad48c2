"""One row as the model is trained on it: which of its tokens are learned and which are only read.

    write_row(run, trainer.train_dataset, tokenizer)     row.json of the run, from the first row
    for text, trained in spans(read_json(run / "row.json")): ...

A mask that is wrong (the request is learned, the end of the answer is not) shows at once in a picture, and in no loss.
"""

from pathlib import Path
from typing import Any

from eval.run.files import write_json

MOST_TOKENS = 1024
IGNORED = -100  # the label of a token that is not learned (torch's cross entropy)


def write_row(run: Path, dataset: Any, tokenizer: Any) -> None:
    """Neighbouring tokens of one kind are one span. Nothing is written where rows hold no labels."""
    if not hasattr(dataset, "__getitem__") or not len(dataset):
        return
    row = dataset[0]
    ids, labels = list(row.get("input_ids") or []), list(row.get("labels") or [])
    if not ids or len(ids) != len(labels):
        return
    write_json(run / "row.json", as_spans(ids, labels, tokenizer))


def as_spans(ids: list[int], labels: list[int], tokenizer: Any) -> dict[str, Any]:
    """A row's tokens as spans of text that are learned or only read, the first MOST_TOKENS of them."""
    found: list[dict[str, Any]] = []
    place = 0
    kept = min(len(ids), MOST_TOKENS)
    while place < kept:
        trained, end = labels[place] != IGNORED, place
        while end < kept and (labels[end] != IGNORED) is trained:
            end += 1
        found.append({"text": str(tokenizer.decode(ids[place:end])), "trained": trained, "tokens": end - place})
        place = end
    learned = sum(label != IGNORED for label in labels)
    return {"tokens": len(ids), "trained": learned, "shown": kept, "spans": found}


def as_text(row: dict[str, Any]) -> str:
    """The row for a terminal without colours: what is trained between ⟦ and ⟧."""
    return "".join(f"⟦{span['text']}⟧" if span["trained"] else span["text"] for span in row["spans"])
