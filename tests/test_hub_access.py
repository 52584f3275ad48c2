"""A model that cannot be had ends in one line that names it and says what to do, in training and in evaluation."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.common.errors import UserError
from eval.common.hub_access import asked_to_wait, hub_problem, reach
from eval.common.hub_client import use_bounded_client
from scripts.data.dataset_facts import describe_data
from scripts.loopback_hub.faults import Fault, Hub, gated
from scripts.training import launch
from scripts.training.devices import Devices
from scripts.training.preflight import check_hub_model
from scripts.training.train import start_run
from tests import preloaded
from tests.hub_server import hub  # noqa: F401
from tests.test_training_end import DEMO, datasets

MODEL = "someone/base"
LIMITED = {"ratelimit": '"resolvers";r=0;t=55'}
CASES: dict[str, tuple[Fault, str]] = {
    "gated": (
        gated(99, known=True),
        "is gated, and the account of HF_TOKEN has not been let in: accept its licence at",
    ),
    "token of nobody": (Fault("resolve", "status", 99, 401), "shows no model|does not know the token"),
    "no right": (Fault("resolve", "status", 99, 403), r"HF_TOKEN may not read .* \(403\): accept its licence at"),
    "limited": (
        Fault("resolve", "status", 99, 429, headers=LIMITED),
        r"\(429 for .*\): wait 55 seconds, then run the same",
    ),
    "ill": (Fault("resolve", "status", 99, 500), r"answered 500 for .*again later"),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    use_bounded_client()


def stored(hub: Hub) -> None:  # noqa: F811
    hub.store.create(MODEL, private=False)
    hub.store.commit(MODEL, "base", {"config.json": hub.store.put_bytes(b"{}")}, [])


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "said"), CASES.values(), ids=CASES)
def test_what_the_hub_refuses_is_said_once_for_preflight_and_evaluation(
    hub: Hub,  # noqa: F811
    tmp_path: Path,
    fault: Fault,
    said: str,
) -> None:
    import transformers

    from eval.model.adapters_on_base import readable

    stored(hub)
    hub.faults.append(fault)
    (tmp_path / "cache").mkdir()
    check = check_hub_model({"revision_of_model": "main"}, MODEL)
    assert not check.ok and check.fatal is (fault.code in (401, 403))
    with pytest.raises(UserError, match=said) as raised, readable(MODEL):
        transformers.AutoTokenizer.from_pretrained(MODEL, cache_dir=tmp_path / "cache")
    line = str(raised.value)
    assert "\n" not in line and MODEL in line and hub.token not in line
    assert check.message.removesuffix("; a token is set") == line


def test_a_model_that_is_there_is_reached_and_one_that_is_not_is_named(hub: Hub) -> None:  # noqa: F811
    stored(hub)
    assert reach(MODEL, "main") is None
    assert "has no such revision" in str(reach(MODEL, "0" * 40))
    assert "shows no model someone/other: check the name" in str(reach("someone/other", None))


def test_without_a_token_the_line_asks_for_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    hub.faults.append(gated(99))
    assert "no token is set: accept its licence" in str(reach(MODEL, None))
    assert "and set HF_TOKEN to a token of that account" in str(reach(MODEL, None))


def test_no_network_is_said_and_other_errors_are_not_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "is not in the cache, and the Hub cannot be reached" in str(reach(MODEL, None))
    assert hub_problem(ValueError("a bad config"), MODEL) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"x-asked-to-wait": '"api";r=0;t=300'}, 300),
        ({"retry-after": "999999"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_repeated_when_it_is_sane(headers: dict[str, str], seconds: int | None) -> None:
    assert asked_to_wait(headers) == seconds


@pytest.mark.slow
def test_training_says_the_same_line(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    recipe: dict[str, Any] = DEMO | {"base_model": MODEL, "datasets": datasets(tmp_path, "plain"), "use_wandb": False}
    path = tmp_path / "gated.yaml"
    path.write_text(yaml.safe_dump(recipe))
    run = start_run(path, recipe, describe_data(recipe), tmp_path / "results")
    hub.faults.append(gated(999, known=True))
    # The forked worker imported the client before: its constants are those of the server, offline and of the real Hub.
    code = (
        "import sys, os; from pathlib import Path; from huggingface_hub import constants; "
        "constants.HF_HUB_OFFLINE = False; constants.ENDPOINT = os.environ['HF_ENDPOINT']; "
        "constants.HUGGINGFACE_CO_URL_TEMPLATE = constants.ENDPOINT + '/{repo_id}/resolve/{revision}/{filename}'; "
        "from scripts.training.train_worker import explained; sys.exit(explained(*map(Path, sys.argv[1:])))"
    )
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, "command", lambda run, _: [sys.executable, "-c", code, str(run), str(tmp_path / "p")])
    monkeypatch.setattr(launch, "subprocess", preloaded)
    with pytest.raises(UserError, match=f"^{MODEL} is gated, and the account of HF_TOKEN has not been let in: accept"):
        launch.launch_worker(run, recipe, Devices())
    assert os.environ["HF_TOKEN"] not in (run / "train.log").read_text()
