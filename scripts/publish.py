"""Verify a run from its raw files, build the exact set of files to upload, upload it, and prove that it loads.

    python -m scripts.publish --run RUN --repo OWNER/NAME --dry-run     everything but the upload
    python -m scripts.publish --run RUN --repo OWNER/NAME               a private repository, one commit, one tag

Nothing is sent before everything is verified (publishing/verify_run.py); the first failure ends it with one line, exit
1 when the answer is no, 2 when something is missing or unreadable. The approving review is the confirmation; there is
no --yes. The same command completes an interrupted upload (publishing/hub_upload.py) and, once published, says so and
sends nothing.
"""

import argparse
import dataclasses
import datetime
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from eval.common.answer import Answer
from eval.common.errors import Refused, UserError, run_command
from eval.common.reading import read_text, unchanging
from eval.run.files import read_jsonl, write_json
from eval.run.folder import locked, resolve_run
from eval.run.records import Item, Record
from scripts.publishing.card import Evidence
from scripts.publishing.committed import one_state
from scripts.publishing.hub_errors import connect, hub_errors
from scripts.publishing.hub_upload import Prove, Remote, Target, check_remote, holds, look, upload
from scripts.publishing.load_back import Loaded, card_lines, load_back
from scripts.publishing.model_signature import SigningKey, check_signature, read_key
from scripts.publishing.names import repo_problem, tag_problem
from scripts.publishing.publication import Publication, build, read_record
from scripts.publishing.spot_answers import DEFAULT, check_request, spot_answers
from scripts.publishing.verify_guests import Place
from scripts.publishing.verify_run import RECORD
from scripts.publishing.verify_variant import verify_any as verify

NUMBER = r"(?:0|[1-9]\d*)"
VERSION = re.compile(rf"v{NUMBER}\.{NUMBER}\.{NUMBER}(?:-[0-9A-Za-z.-]+)?")  # semver.org without build metadata


def parse_target(repo: str, tag: str | None, run: str, public: bool) -> Target:
    """Where to publish. UserError for a name that the Hub would not take, or a tag that is no version."""
    if problem := repo_problem(repo):
        raise UserError(f"REPO={repo!r} {problem}" if repo else "no repository is named: REPO=OWNER/NAME on the Hub")
    if tag is not None and (not VERSION.fullmatch(tag) or tag_problem(tag)):
        raise UserError(f"--tag {tag!r} is not a version like v1.2.0; without it the tag is the run's name")
    return Target(repo, tag or run, public)


def check_record(
    record: Publication | None, api: HfApi, target: Target, remote: Remote, folder: Path, digests: dict[str, str]
) -> bool:
    """Whether publication.json says that this is published, and the Hub agrees. Refused when the Hub does not."""
    if record is None or (record.endpoint, record.repo, record.tag) != (api.endpoint, target.repo, target.tag):
        return False
    if remote.tags.get(target.tag) != record.commit:
        raise Refused(
            f"{RECORD} says that tag {target.tag} of {target.repo} is {record.commit[:12]}, and the Hub does not: "
            f"move {RECORD} away if the repository was made anew"
        )
    if record.digests != digests:
        raise Refused(f"{RECORD} lists other files than this run gives: move it away, and publish under a new TAG=")
    return holds(api, target.repo, record.commit, folder) and record.private == (not target.public)


def prover(evidence: Evidence, tag: str) -> Prove:
    """The proof that what comes back works: the card's own lines, the tag replaced by the commit it will name."""
    request = read_jsonl(evidence.folder / "samples.jsonl", Item)[0].request
    effect = evidence.metrics.adapter_effect
    assert effect is not None
    tensors = evidence.tensors if evidence.variant else effect.tensors

    def prove(snapshot: Path, commit: str, cache: Path, api: HfApi) -> Loaded | None:
        lines = card_lines(read_text(snapshot / "README.md"))
        lines = lines.replace(f'revision="{tag}"', f'revision="{commit}"')
        print("loading it back in a process of its own", flush=True)
        token = api.token if isinstance(api.token, str) else None
        return load_back(snapshot, lines, request, tensors, cache, api.endpoint, token)

    return prove


def signed(prove: Prove, key: SigningKey | None) -> Prove:
    """The same proof, once model.sig as it came back is of the files that came back. Without a key, the proof alone."""

    def prove_signed(snapshot: Path, commit: str, cache: Path, api: HfApi) -> Loaded | None:
        if key:
            check_signature(snapshot, key.public)
            print(f"model.sig is of what came back, by key {key.fingerprint[:16]}", flush=True)
        return prove(snapshot, commit, cache, api)

    return prove_signed


@contextmanager
def readable(run: Path) -> Iterator[None]:
    """A file of the run with a form that no stage writes ends with one line, too, and not with Python's exit code 1,
    which would say that the answer is no."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1].name
        raise UserError(
            f"{run.name}: a file of the run is not as any stage writes it ({type(error).__name__} in {where}): "
            "restore it, or evaluate again"
        ) from error


def publish(
    evidence: Evidence, folder: Path, digests: dict[str, str], target: Target, skip_load: bool,
    key: SigningKey | None = None,
) -> Publication | None:  # fmt: skip
    """Upload and record; None when it is published already. Raises Refused or UserError."""
    record = read_record(evidence.folder)
    api = connect()
    remote = look(api, target)
    with hub_errors(target.repo):
        done = check_record(record, api, target, remote, folder, digests)
        if done and record and (record.loaded or skip_load):
            return None
        check_remote(api, folder, target, remote)
    print(f"publishing as {remote.publisher}", flush=True)
    prove = signed((lambda *_: None) if skip_load else prover(evidence, target.tag), key)
    sent = upload(api, folder, digests, target, remote, prove)
    publication = Publication(
        run=evidence.run,
        verdict=evidence.metrics.verdict,
        reviewer=evidence.review.reviewer,
        signer=evidence.signer,
        override=evidence.review.override,
        endpoint=api.endpoint,
        repo=target.repo,
        tag=target.tag,
        commit=sent.commit,
        private=sent.private,
        publisher=sent.publisher,
        digests=sent.digests,
        loaded=sent.loaded,
        verified=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        spot=evidence.spot,
        signing_key=key.fingerprint if key else None,
    )
    write_json(evidence.folder / RECORD, publication.model_dump())
    return publication


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.publish", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", help="name or path of a run; the newest by default")
    parser.add_argument("--repo", required=True, help="OWNER/NAME on the Hugging Face Hub")
    parser.add_argument("--tag", help="a version, v1.2.0; the run's name by default")
    parser.add_argument("--public", action="store_true", help="make the repository public, once all is verified")
    parser.add_argument("--skip-load", action="store_true", help="do not load it back: the base does not fit here")
    parser.add_argument("--spot", type=int, default=DEFAULT, help=f"items a draw to answer again ({DEFAULT}); 0: none")
    parser.add_argument("--spot-reason", help="why nothing is answered again, with --spot 0; the card shows it")
    parser.add_argument("--domain", metavar="FOLDER", help="believe what the repository around a domain has committed")
    parser.add_argument("--sign-key", type=Path, help="sign what goes up with this private key (PEM): model.sig")
    parser.add_argument("--dry-run", action="store_true", help="stop before the upload")
    arguments = parser.parse_args(argv)
    parse_target(arguments.repo, arguments.tag, "run", arguments.public)
    check_request(arguments.spot, arguments.spot_reason)
    run = resolve_run(arguments.run)
    key = read_key(arguments.sign_key) if arguments.sign_key else None
    with locked(run), unchanging(), one_state():  # nobody may write while it is read
        return verify_and_publish(run, arguments, key)


class Published(Record):
    """What was verified, and what became of it: after a dry run it is neither published nor sent."""

    run: str
    repo: str
    tag: str
    sha256: dict[str, str]
    published: bool = False
    sent: bool = False
    commit: str | None = None


def verify_and_publish(run: Path, arguments: argparse.Namespace, key: SigningKey | None) -> int:
    """Exit code 0: published, already there, or everything but sent in a dry run."""
    print(f"verifying {run.name}", flush=True)
    with readable(run):
        evidence = verify(run, Place.of(Path(arguments.domain)) if arguments.domain else None)
        target = parse_target(arguments.repo, arguments.tag, evidence.run, arguments.public)
        spot = spot_answers(evidence, arguments.spot, arguments.spot_reason)
        evidence = dataclasses.replace(evidence, spot=spot, signing_key=key.public if key else None)
        folder, digests = build(target.repo, evidence, target.tag, key)
    if not spot.skipped:
        again = f"{spot.read} read, {spot.generated} generated, {spot.executed} run"
        print(f"answers on record are the model's: {again} again in {spot.seconds:.0f} s", flush=True)
    for name, digest in digests.items():
        print(f"{(folder / name).stat().st_size:>13,}  {digest}  {name}")
    print(f"model card: {folder / 'README.md'}")
    told, files = Published(run=run.name, repo=target.repo, tag=target.tag, sha256=digests), [folder / "README.md"]
    if arguments.dry_run:
        print(f"dry run: nothing was uploaded; these files would go to {target.repo}, tag {target.tag}")
        return Answer(0, told, files=files)
    publication = publish(evidence, folder, digests, target, arguments.skip_load, key)
    if publication is None:
        print(f"already published: {target.repo}, tag {target.tag}; nothing was sent")
        return Answer(0, told.model_copy(update={"published": True}), files=files)
    if publication.loaded:
        print(f"loaded back: {publication.loaded.tensors} tensors; answered {publication.loaded.answer!r}")
    else:
        print("not loaded back: the record says so")
    visibility = "private" if publication.private else "public"
    print(f"published {target.repo} ({visibility}) at {publication.commit}, tag {target.tag}; {run / RECORD}")
    told = told.model_copy(update={"published": True, "sent": True, "commit": publication.commit})
    return Answer(0, told, files=[*files, run / RECORD])


if __name__ == "__main__":
    run_command(main)
