"""What a verdict cannot know: how many other candidates the same items have judged. Of ten that are exactly at a
margin, one ships in four of ten cases, and nothing in its own numbers shows it.

    earlier = earlier_candidates(run, suite, RESULTS, adapter_sha256)      from the runs beside this one
    earlier = with_cache(earlier, folder, batches, makers)                 and from the answers that are kept

Counted are adapters, each once: those of the runs that asked an item of a task with a blocking gate, and kept answers
to the same batches by makers that none of these explains. Not counted: runs and answers that were deleted, another
machine's, and how often one adapter was evaluated again into the same folder.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from eval.common.errors import UserError
from eval.config.suite_file import Suite
from eval.run.files import read_json, read_jsonl
from eval.run.metrics import EarlierCandidates
from eval.run.records import Item

NOT_COUNTED = "not counted: what was deleted, what other machines did, and evaluations repeated in one run folder"


def earlier_candidates(run: Path, suite: Suite, results: Path, adapter_sha256: str | None) -> EarlierCandidates:
    """Other adapters that runs below `results` measured on an item that decides here, as their files say.

    A run whose files cannot be read counts for nothing and is itself counted as unread.
    """
    deciding = {name for gate in suite.gates if gate.tier == "blocking" for name in suite.members(gate.task)}
    asked = _asked(run, deciding)
    adapters: set[str] = set()
    evaluations = unread = 0
    for folder in sorted(path for path in results.glob("*") if path.is_dir() and not path.is_symlink()):
        if folder.resolve() == run.resolve() or not (folder / "metrics.json").is_file():
            continue
        try:
            provenance = read_json(folder / "metrics.json").get("provenance") or {}
            if asked.isdisjoint(_asked(folder, deciding)):
                continue
            evaluations += 1
            adapters |= {str(provenance["adapter_sha256"])} if provenance.get("adapter_sha256") else set()
        except (UserError, AttributeError, TypeError):
            unread += 1
    others = adapters - {str(adapter_sha256)}
    return EarlierCandidates(
        candidates=len(others),
        in_results=len(others),
        in_cache=0,
        evaluations=evaluations,
        unread=unread,
        chance=chance_of_one(len(others) + 1, suite.alpha),
        adapters=sorted(others),
    )


def with_cache(
    earlier: EarlierCandidates, folder: Path, batches: Iterable[str], explained: Collection[str], alpha: float
) -> EarlierCandidates:
    """Also counting whoever left an answer to one of these batches in the answer cache.

    `batches`: digests that name its entries; `explained`: makers that are counted already, or are no candidate. A maker
    is an adapter under one base, device and set of versions, so that one adapter may count more than once.
    """
    names = {f"{batch}.jsonl" for batch in batches}
    makers = {path.parent.name for path in folder.rglob("*.jsonl") if path.name in names}
    more = len(makers - set(explained))
    count = earlier.in_results + more
    return earlier.model_copy(update={"candidates": count, "in_cache": more, "chance": chance_of_one(count + 1, alpha)})


def joined(there: EarlierCandidates, here: EarlierCandidates, alpha: float) -> EarlierCandidates:
    """What two machines know of together: that which generated, kept answers included, and that which judges."""
    adapters = sorted({*there.adapters, *here.adapters})
    count = len(adapters) + there.in_cache
    return there.model_copy(
        update={
            "candidates": count,
            "in_results": len(adapters),
            "evaluations": max(there.evaluations, here.evaluations),
            "unread": max(there.unread, here.unread),
            "chance": chance_of_one(count + 1, alpha),
            "adapters": adapters,
        }
    )


def chance_of_one(candidates: int, alpha: float) -> float:
    """Chance that at least one of so many ships, if each were exactly at a gate's threshold: at most."""
    return float(1 - (1 - alpha) ** candidates)


def said(earlier: EarlierCandidates) -> str:
    """The count in one sentence, for the report, the card and the terminal."""
    if not earlier.candidates:
        counted = "No other adapter is known to have been judged on these items"
    else:
        adapters = "1 other adapter has" if earlier.candidates == 1 else f"{earlier.candidates} other adapters have"
        kept = f", {earlier.in_cache} of them known from kept answers alone" if earlier.in_cache else ""
        together = earlier.candidates + 1
        counted = (
            f"{adapters} been judged on these items{kept}: were all {together} exactly at a margin, at least one would "
            f"ship by chance in at most {earlier.chance:.0%} of cases, and no verdict here is corrected for it"
        )
    unread = f"; {earlier.unread} runs could not be read" if earlier.unread else ""
    return f"{counted}{unread} ({NOT_COUNTED})."


def _asked(run: Path, tasks: Collection[str]) -> set[tuple[str, str]]:
    """Requests of these tasks that a run asked, by task and text: the same whatever model was asked."""
    path = run / "samples.jsonl"
    return {(row.task, row.request) for row in read_jsonl(path, Item) if row.task in tasks} if path.is_file() else set()
