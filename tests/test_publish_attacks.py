"""The publish chain, attacked a second time: settings of the adapter, git, signers, and texts that nobody derived.

As in test_publish_chain.py, each case forges everything that follows it, review included, and meets the real command.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save, save_file

from eval.common.places import ROOT
from eval.run.digests import file_sha256
from eval.run.files import read_metrics, write_json
from scripts import review
from scripts.data.dataset_facts import describe_data
from scripts.loopback_hub.faults import Hub
from scripts.publishing import approval, committed
from tests.hub_server import WEIGHTS, Capture, approve, dry_run, hub, publish_run, run, settle
from tests.own_run import KNOWN, build_own_run
from tests.run_builder import RECIPE, assert_one_line, call, edit_json, judge
from tests.test_committed import git, repository
from tests.test_publish_chain import Cheat, config, settled, signature_asked, weights

__all__ = ["hub", "repository", "run"]
pytestmark = pytest.mark.usefixtures("made_up_runs")
Change = Callable[[Path], Any]
PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"
TRAINED = "is not what recipe.yaml trained with"

SETTINGS: dict[str, tuple[Any, str]] = {
    "megatron_core": ("os", "names a module to import"),
    "megatron_config": ({"a": 1}, "names code to run"),
    "peft_type": ("XLORA", "another method than LORA"),
    "task_type": ("SEQ_CLS", "not CAUSAL_LM"),
    "r": (4, TRAINED),
    "lora_alpha": (6400, TRAINED),
    "lora_dropout": (0.5, TRAINED),
    "target_modules": (["q_proj", "v_proj"], TRAINED),
    "exclude_modules": (["k_proj"], TRAINED),
    "modules_to_save": (["lm_head"], TRAINED),
    "layers_to_transform": ([0], TRAINED),
    "layers_pattern": ("layers", TRAINED),
    "rank_pattern": ({"q_proj": 64}, TRAINED),
    "alpha_pattern": ({"q_proj": 6400}, TRAINED),
    "fan_in_fan_out": (True, TRAINED),
    "use_rslora": (True, TRAINED),
    "use_dora": (True, TRAINED),
    "ensure_weight_tying": (True, TRAINED),
    "init_lora_weights": ("pissa", "rewrites the base on loading"),
    "loftq_config": ({"loftq_bits": 4}, "rewrites the base on loading"),
    "bias": ("all", "trains the base's biases"),
    "revision": ("main", TRAINED),
    "peft_version": ("0.20.0 of [a friend](https://example.org)", "is no version"),
    "inference_mode": ("see the card", "is not true or false"),
    "qalora_group_size": ("many", "is no number of columns"),
    "trainable_token_indices": ([1], "trains tokens beside the matrices"),
    "target_parameters": (["experts.down_proj"], "parameters outside of modules"),
    "alora_invocation_tokens": ([1], "acts on some prompts only"),
    "layer_replication": ([[0, 4], [2, 6]], "builds another base"),
    "eva_config": ({"rho": 2.0}, "variant of LoRA"),
    "corda_config": ({"corda_method": "ipm"}, "variant of LoRA"),
    "lora_ga_config": ({"scale": "stable"}, "variant of LoRA"),
    "velora_config": ({"rank": 1}, "variant of LoRA"),
    "monteclora_config": ({"num_samples": 2}, "variant of LoRA"),
    "arrow_config": ({"top_k": 3}, "variant of LoRA"),
    "use_bdlora": ({"nblocks": 2}, "variant of LoRA"),
    "use_qalora": (True, "variant of LoRA"),
    "lora_bias": (True, "variant of LoRA"),
    "runtime_config": ({"ephemeral_gpu_offload": True}, "not a setting of a LoRA adapter"),
    "a_note": ("buy at our shop", "not a setting of a LoRA adapter"),
}


def tensors(change: Callable[[dict[str, Any]], Any]) -> Change:
    """The adapter's tensors, changed; its header is what safetensors writes."""

    def write(folder: Path) -> None:
        path = folder / "adapter" / WEIGHTS
        found = load_file(path)
        change(found)
        path.unlink()
        save_file(found, path, metadata={"format": "pt"})
        settle(folder)

    return write


def renamed(before: str, after: str) -> Change:
    return tensors(lambda found: found.update({name.replace(before, after): found.pop(name) for name in list(found)}))


def header(change: Callable[[bytes], bytes]) -> Change:
    """The header's text, changed; its length to match."""

    def write(folder: Path) -> None:
        path = folder / "adapter" / WEIGHTS
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        text = change(content[8 : 8 + length].rstrip())
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        settle(folder)

    return write


def tokenizer(name: str, text: str | None) -> Change:
    def change(folder: Path) -> None:
        path = folder / "adapter" / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)

    return settled(change)


def recipe(before: str, after: str) -> Change:
    return settled(lambda folder: (folder / "recipe.yaml").write_text(RECIPE.replace(before, after)))


def trained(learning_rate: float, logged: list[float]) -> Change:
    """A recipe with a learning rate, beside a training that logged others."""

    def change(folder: Path) -> None:
        text = RECIPE + f"learning_rate: {learning_rate}\nlr_scheduler: cosine\n"
        (folder / "recipe.yaml").write_text(text)
        series = {"learning_rate": [[number + 1, value] for number, value in enumerate(logged)]}
        edit_json(folder / "train.json", lambda value: value.update(series=series))
        metrics(lambda value: value["training"].update(series=series))(folder)
        judge_training(folder)

    return change


def judge_training(folder: Path) -> None:
    """Settled, with the training as train.json now has it."""
    judge(folder)
    training = json.loads((folder / "train.json").read_text())
    edit_json(folder / "metrics.json", lambda value: value.update(training=training))
    approve(folder)


def training(**values: Any) -> Change:
    def change(folder: Path) -> None:
        edit_json(folder / "train.json", lambda value: value.update(values))
        judge_training(folder)

    return change


def metrics(edit: Callable[[Any], Any]) -> Change:
    """metrics.json edited, the report rendered of it, and both approved."""

    def change(folder: Path) -> None:
        edit_json(folder / "metrics.json", lambda value: edit(value) and None)
        approve(folder)

    return change


def dataset(**values: Any) -> Change:
    """A dataset of the repository, with something else said of it."""

    def change(folder: Path) -> None:
        path = "data/nl2bash/train_small.jsonl"
        rows = describe_data({"datasets": [{"path": path}]})
        write_json(folder / "data.json", [rows[0] | values])
        (folder / "recipe.yaml").write_text(RECIPE.replace("data/toy.jsonl", path))
        settle(folder)

    return change


def edited_after(name: str, text: str | None = None) -> Change:
    """A file of the report edited, and the digests of the review beside it."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace("SHIP", "WONDERFUL") + (text or "<!-- -->\n"))
        digests = approval.present_digests(folder)
        edit_json(folder / "review.json", lambda value: value.update(digests=digests))

    return change


def reviewed(**values: Any) -> Change:
    return lambda folder: edit_json(folder / "review.json", lambda value: value.update(values))


def named(name: str) -> Change:
    return settled(lambda folder: edit_json(folder / "run.json", lambda value: value.update(run=name)))


LORA_B = f"{PREFIX}.lora_B.weight"
ATTACKS = [
    *[Cheat(f"adapter_config.json: {key}", config(**{key: value}), (f"{key}", words)) for key, (value, words)
      in SETTINGS.items()],
    Cheat("adapter_config.json: code named by auto_mapping", config(auto_mapping={"base_model_class": "X"}), ("code",)),
    Cheat("adapter_config.json: a pattern that takes for ever", lambda f: ((f / "recipe.yaml").write_text(
          RECIPE.replace("[q_proj]", "'(a+)+q_proj'")), config(target_modules="(a+)+q_proj")(f)), ("target_modules",)),
    Cheat("adapter_config.json: true for 1", config(r=True), ("r: True", TRAINED)),
    Cheat("adapter_config.json: a megabyte of base", config(base_model_name_or_path="a" * 10**6), ("larger than",)),
    # The tensors
    Cheat("a tensor that is no LoRA", renamed(f"{PREFIX}.lora_B.weight", "x" * 40), ("not one that PEFT",)),
    Cheat("a name that is a text", renamed(f"{PREFIX}.lora_B.weight", "visit example.org"), ("not one that PEFT",)),
    Cheat("half a pair", renamed("lora_B", "lora_A_"), ("not a pair",)),
    Cheat("another pair", renamed("q_proj.lora_B", "k_proj.lora_B"), ("not a pair",)),
    Cheat("another rank", tensors(lambda t: t.update({LORA_B: np.ones((8, 3), np.float32)})), ("not of rank 2",)),
    Cheat("a module that is not targeted", renamed("q_proj", "k_proj"), ("does not target it",)),
    Cheat("a whole matrix of the base", renamed(f"{PREFIX}.lora_B.weight", "base_model.model.lm_head.weight"),
          ("modules_to_save",)),
    Cheat("a text as metadata", weights(lambda p: p.write_bytes(save({f"{PREFIX}.lora_A.weight": np.ones((2, 8),
          np.float32), LORA_B: np.ones((8, 2), np.float32)}, {"format": "pt", "note": "x"}))), ("__metadata__",)),
    Cheat("8 MB of blanks in the header", header(lambda text: text + b" " * 8_000_000), ("its header",)),
    Cheat("blanks between the header's words", header(lambda text: text.replace(b",", b", ")), ("its header",)),
    Cheat("a further key of a tensor", header(lambda text: text.replace(b'"dtype"', b'"note":"x","dtype"', 1)),
          ("its header",)),
    # What goes with the adapter
    Cheat("another chat template", tokenizer("chat_template.jinja", "{{ 1 }}"), ("chat_template.jinja", "base's")),
    Cheat("no chat template", tokenizer("chat_template.jinja", None), ("chat_template.jinja is missing",)),
    Cheat("another tokenizer", tokenizer("tokenizer.json", "{}"), ("tokenizer.json", "base's")),
    Cheat("tokens added", tokenizer("added_tokens.json", '{"x": 1}'), ("added_tokens.json", "base's")),
    Cheat("another recipe: rank", recipe("lora_r: 2", "lora_r: 64"), ("r: 2", TRAINED)),
    Cheat("another recipe: alpha", recipe("lora_alpha: 4", "lora_alpha: 8"), ("lora_alpha: 4", TRAINED)),
    Cheat("another recipe: targets", recipe("[q_proj]", "[v_proj]"), ("target_modules", TRAINED)),
    Cheat("another recipe: seed", recipe("seed: 42", "seed: 7"), ("seed of run.json", "42")),
    Cheat("another recipe: a lower learning rate", trained(1e-5, [1e-4] * 3), ("learning rate of 0.0001",)),
    Cheat("another recipe: a higher learning rate", trained(1e-2, [1e-4] * 12), ("learning rate of 0.0001",)),
    Cheat("another recipe: resolved otherwise", settled(lambda f: (f / "resolved.yaml").write_text("lora_r: 64\n")),
          ("resolved.yaml", "lora_r is 64")),
    # Texts and numbers that nobody derived
    Cheat("report edited, digests to match", edited_after("report.md"), ("report.md is not what",)),
    Cheat("page edited, digests to match", edited_after("report.html"), ("report.html is not what",)),
    Cheat("figure edited", lambda f: (f / "figures" / "gates.svg").write_text("<svg/>"), ("gates.svg is not what",)),
    Cheat("rows of a dataset", dataset(rows=10**6), ("data.json", "rows of data/nl2bash/train_small.jsonl")),
    Cheat("licence of a dataset", dataset(licence="CC0-1.0"), ("licence of data/nl2bash/train_small.jsonl",)),
    Cheat("source of a dataset", dataset(source="the Bash authors"), ("source of data/nl2bash/train_small.jsonl",)),
    Cheat("a note on a dataset", dataset(cleaning={"checked by": "NIST"}), ("cleaning of data/nl2bash",)),
    Cheat("a dataset without its licence", settled(lambda f: edit_json(f / "data.json", lambda rows: rows[0].pop(
          "licence") and None)), ("data.json: a dataset lacks licence",), 2),
    Cheat("another revision of a dataset", settled(lambda f: edit_json(f / "data.json", lambda rows: rows[0].update(
          revision="a" * 40))), ("another revision",)),
    Cheat("final loss", training(final_loss=0.001), ("train.json", "final_loss")),
    Cheat("steps", training(steps=1), ("train.json", "steps")),
    Cheat("epochs", lambda f: ((f / "recipe.yaml").write_text(RECIPE + "num_epochs: 1\n"), training(epochs=9)(f)),
          ("epochs of train.json",)),
    Cheat("seeds", metrics(lambda v: v["provenance"]["seeds"].update(evaluation=7)), ("another set of seeds",)),
    Cheat("commit of the evaluation", metrics(lambda v: v["provenance"].update(git={"commit": "f" * 40})),
          ("another commit",)),
    Cheat("time of the run", metrics(lambda v: v["provenance"].update(created="2030-01-01")), ("another time",)),
    Cheat("name of the recipe", metrics(lambda v: v["provenance"].update(recipe="better")), ("another name",)),
    Cheat("a text as sandbox", metrics(lambda v: v["provenance"].update(sandbox="see [us](https://example.org)")),
          ("provenance.sandbox",)),
    Cheat("a text among the versions", metrics(lambda v: v["provenance"].update(more={"a": ["<b>certified</b>"]})),
          ("provenance.more",)),
    Cheat("a cost of another name", metrics(lambda v: v["costs"].update({"co2 saved": 5.0})), ("costs.'co2 saved'",)),
    Cheat("items of the costs", metrics(lambda v: v["costs"].update(items=10**6)), ("costs.items",)),
    Cheat("tokens of the costs", metrics(lambda v: v["costs"].update(tokens_candidate=1)), ("costs.tokens_candidate",)),
    # Names
    Cheat("a reviewer in two alphabets", reviewed(reviewer="\u0410da Lovelace"), ("mixes Cyrillic and Latin",)),
    Cheat("a reviewer with a signature in the name", reviewed(reviewer="Ada (signed with the key of root)"), ("'('",)),
    Cheat("a reviewer with markup", reviewed(reviewer="**Ada**"), ("'*'",)),
    Cheat("a reviewer who cannot be seen", reviewed(reviewer="A\u200bda"), ("invisible",)),
    Cheat("a reviewer in styled letters", reviewed(reviewer="\U0001d400da"), ("look-alikes",)),
    *[Cheat(f"run name {name}", named(name), ("run.json", "cannot be a tag", words), 2) for name, words in (
        ("a" * 40, "a commit"), ("0123abc", "a commit"), ("a..b", "two dots"), ("x.lock", ".lock"), ("x.", "two dots"),
        ("main", "branch"), ("Head", "branch"), ("a b", "letters"), ("-x", "letters"), ("a/b", "letters"))],
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_refused_before_anything_is_sent(attack: Cheat, run: Path, hub: Hub, capsys: Capture) -> None:
    attack.change(run)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (attack.code, []), err
    assert_one_line(err, *attack.words)
    assert not (run / "publication").exists()


def test_each_attack_has_a_name() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 90


# Git: what HEAD is made to look like


def lax(run: Path, repository: Path) -> Path:
    """A suite of wider margins in the run, settled, and as a file of the repository that is not committed yet."""
    suite = yaml.safe_load((run / "suite.yaml").read_text())
    suite["gates"][1]["margin"] = 0.9
    (run / "suite.yaml").write_text(yaml.safe_dump(suite))
    settle(run)
    return Path(shutil.copy(run / "suite.yaml", repository / "configs" / "eval" / "strict.yaml"))


def thrown_away(folder: Path) -> None:
    git(folder, "switch", "-qc", "passing")
    git(folder, "commit", "-qam", "lax")
    git(folder, "switch", "-q", "main")
    git(folder, "branch", "-qD", "passing")


def replaced(folder: Path) -> None:
    thrown_away(folder)
    lost = subprocess.run(["git", "reflog", "--format=%H", "-n", "2"], cwd=folder, capture_output=True, text=True)
    git(folder, "replace", "HEAD", lost.stdout.split()[1])


def blob_replaced(folder: Path) -> None:
    old = subprocess.run(["git", "rev-parse", "HEAD:configs/eval/strict.yaml"], cwd=folder, capture_output=True)
    made = subprocess.run(["git", "hash-object", "-w", "configs/eval/strict.yaml"], cwd=folder, capture_output=True)
    git(folder, "replace", old.stdout.decode().strip(), made.stdout.decode().strip())


def object_overwritten(folder: Path) -> None:
    """The blob's own file holds another blob."""
    names = [
        subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True).stdout.strip()
        for words in (
            ["rev-parse", "HEAD:configs/eval/strict.yaml"],
            ["hash-object", "-w", "configs/eval/strict.yaml"],
        )
    ]
    old, new = (folder / ".git" / "objects" / name[:2] / name[2:] for name in names)
    old.chmod(0o644)
    old.write_bytes(new.read_bytes())


def linked(folder: Path) -> None:
    (folder / "lax").write_bytes((folder / "configs" / "eval" / "strict.yaml").read_bytes())
    (folder / "configs" / "eval" / "strict.yaml").unlink()
    (folder / "configs" / "eval" / "strict.yaml").symlink_to("../../lax")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "link")


HIDDEN = [
    ("only on the disk", lambda folder: None, 1, "not one of the suites"),
    ("staged", lambda folder: git(folder, "add", "-A"), 1, "not one of the suites"),
    ("hidden from git status", lambda folder: git(folder, "update-index", "--skip-worktree",
     "configs/eval/strict.yaml"), 1, "not one of the suites"),
    ("on a branch that was thrown away", thrown_away, 1, "not one of the suites"),
    ("on a branch that is not merged", lambda folder: (git(folder, "switch", "-qc", "passing"),
     git(folder, "commit", "-qam", "lax")), 1, "not one of the suites"),
    ("on a commit without a branch", lambda folder: (git(folder, "switch", "-q", "--detach"),
     git(folder, "commit", "-qam", "lax")), 1, "not one of the suites"),
    ("by git replace of a commit", replaced, 1, "not one of the suites"),
    ("by git replace of a file", blob_replaced, 1, "not one of the suites"),
    ("in an overwritten object", object_overwritten, 2, "missing or damaged"),
    ("behind a link", linked, 1, "not one of the suites"),
    (".git moved away", lambda folder: (folder / ".git").rename(folder / "git"), 2, "not a git repository"),
]  # fmt: skip


@pytest.mark.committed_suites
@pytest.mark.parametrize(("where", "hide", "code", "words"), HIDDEN, ids=[row[0] for row in HIDDEN])
def test_a_suite_that_is_not_merged_is_none(
    where: str, hide: Change, code: int, words: str, run: Path, repository: Path, hub: Hub, capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", partial(committed.committed_suites, repository)
    )
    lax(run, repository)
    hide(repository)
    ended, _, err = publish_run(run, capsys)
    assert (ended, hub.log) == (code, []), err
    assert_one_line(err, words)


@pytest.mark.committed_suites
def test_the_same_suite_merged_is_one(
    run: Path, repository: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", partial(committed.committed_suites, repository)
    )
    lax(run, repository)
    git(repository, "commit", "-qam", "lax, for all to see")
    code, _, err = dry_run(run, capsys)
    assert (code, err) == (0, "")


@pytest.mark.committed_suites
@pytest.mark.parametrize("kept", [False, True])
def test_rows_cut_from_a_test_set_on_another_branch(
    kept: bool, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation saw the cut set, at a commit that is named; whether or not that commit is still there."""
    own = tmp_path / "repository"
    shutil.copytree(ROOT / "data", own / "data")
    git(tmp_path, "init", "-q", "-b", "main", str(own))
    git(own, "add", "."), git(own, "commit", "-qm", "data")
    git(own, "switch", "-qc", "passing")
    file = next(iter((own / "data").rglob("test_known.jsonl")), None) or own / known_data()
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[15:]))
    git(own, "commit", "-qam", "cut")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=own, capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr("tests.own_run.ROOT", own)
    folder = build_own_run(tmp_path / "results")
    edit_json(folder / "environment.json", lambda value: value.update(git={"commit": commit}))
    edit_json(folder / "metrics.json", lambda value: value["provenance"].update(git={"commit": commit}))
    approve(folder)
    git(own, "switch", "-q", "main")
    git(own, "merge", "-q", "passing") if kept else git(own, "branch", "-qD", "passing")
    if kept:  # the cut was merged, and taken back since
        git(own, "revert", "--no-edit", "HEAD")
    monkeypatch.setattr("scripts.publishing.verify_data.ROOT", own)
    monkeypatch.setattr(
        "scripts.publishing.verify_guests.committed_suites", lambda: [file_sha256(folder / "suite.yaml")]
    )
    code, _, err = dry_run(folder, capsys)
    assert code == 1
    assert_one_line(err, KNOWN, "other rows than HEAD" if kept else "not committed")


def known_data() -> str:
    from tests.own_tasks import own_task

    return str(own_task(KNOWN).data)


# Signers


def test_a_list_of_signers_named_by_the_environment_is_none(
    run: Path, hub: Hub, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "eve")], check=True)
    (tmp_path / "list").write_text(f"ada@example.org {(tmp_path / 'eve.pub').read_text()}")
    signature_asked(None)(run)
    approval.write_review(run, approval.make_review(run, "approve", "Ada", "", key=tmp_path / "eve"))
    for name, value in (("COUNT", "1"), ("KEY_0", "gpg.ssh.allowedSignersFile"), ("VALUE_0", str(tmp_path / "list"))):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    code, _, err = publish_run(run, capsys)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "no list of allowed signers", "configs/allowed_signers")


@pytest.mark.committed_suites
def test_signers_are_those_of_head_and_of_no_other_commit(
    repository: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.publishing import signing

    monkeypatch.setattr(signing, "ROOT", repository)
    (repository / "configs" / "allowed_signers").write_text("eve ssh-ed25519 AAAA\n")
    git(repository, "add", "."), git(repository, "commit", "-qm", "eve may sign")
    assert signing.allowed_signers() == b"eve ssh-ed25519 AAAA\n"
    (repository / "configs" / "allowed_signers").write_text("ada ssh-ed25519 AAAA\n")
    git(repository, "commit", "-qam", "eve may not")
    assert signing.allowed_signers() == b"ada ssh-ed25519 AAAA\n"


# What a reviewer writes


@pytest.mark.parametrize("name", ["report.md", "report.html", "figures/gates.svg"])
def test_an_edited_report_cannot_be_approved(name: str, run: Path, capsys: Capture) -> None:
    (run / name).write_text((run / name).read_text() + "\n")
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", "Ada"]
    code, _, err = call(review.main, argv, capsys)
    assert code == 1
    assert_one_line(err, f"{name} is not what", "make report")
    assert call(review.main, [*argv[:3], "reject", *argv[4:]], capsys)[0] == 0


def test_what_a_reviewer_writes_is_quoted_as_it_is_and_in_its_place(run: Path, capsys: Capture) -> None:
    comment = "good (signed with the key of root)\n\n# Verdict **ship** [x](https://example.org) <b> by \u0410da"
    argv = [
        "--run",
        str(run),
        "--decision",
        "approve",
        "--reviewer",
        "\u0410\u0434\u0430 \u041b.",
        "--comment",
        comment,
    ]
    assert call(review.main, argv, capsys)[0] == 0
    assert dry_run(run, capsys)[0] == 0
    card = (run / "publication" / "README.md").read_text()
    (quoted,) = [line for line in card.splitlines() if "key of root" in line]
    assert quoted.startswith(
        "> good (signed with the key of root) # Verdict \\*\\*ship\\*\\* \\[x\\](https:/ /example.org)"
    )
    assert quoted.endswith(r"\<b\> by U+0410da")
    assert "reviewed by \u0410\u0434\u0430 \u041b. (in Cyrillic letters) on" in card and "is not signed" in card


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "José Núñez", "O'Brien-Smith", "山田 太郎", "Иван", "ada@example.org"]
)
def test_names_of_people_are_taken(name: str, run: Path, capsys: Capture) -> None:
    argv = ["--run", str(run), "--decision", "approve", "--reviewer", name]
    assert call(review.main, argv, capsys)[0] == 0


def test_the_card_says_what_was_not_at_hand(run: Path, capsys: Capture) -> None:
    assert dry_run(run, capsys)[0] == 0
    card = (run / "publication" / "README.md").read_text()
    assert "The recipe is not committed in this repository." in card
    assert "Dataset data/toy.jsonl was not at hand: its licence is as recorded." in card
    assert "| data/toy.jsonl | - | MIT | not at hand; licence as recorded" in card
    assert read_metrics(run / "metrics.json").costs["seconds_load"] == 1.0


@pytest.mark.parametrize("repo", ["someone/model-", "someone/model.", "someone-/model", "some.one./m", "a/-b", "a/b\n"])
def test_repositories_that_the_hub_does_not_take_are_one_line(repo: str, run: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(run, capsys, repo=repo)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "REPO=", "OWNER/NAME")


@pytest.mark.parametrize("tag", ["v1.0.0-x.lock", "v1.0.0-a..b", "v1.0.0-x."])
def test_versions_that_git_does_not_take_as_tags(tag: str, run: Path, hub: Hub, capsys: Capture) -> None:
    code, _, err = publish_run(run, capsys, "--tag", tag)
    assert (code, hub.log) == (2, [])
    assert_one_line(err, "--tag")
