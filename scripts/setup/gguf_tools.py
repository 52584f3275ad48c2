"""Install what `make serve-check FORM=gguf` needs: llama.cpp's converter, quantiser and server, once, 10 minutes.

    python -m scripts.setup.gguf_tools        -> .cache/gguf-tools: source/ (llama-cpp-python's sources), venv/

llama-cpp-python's source package holds llama.cpp whole, its converter too. pip downloads it with a pinned digest and
builds it for this machine's CPU, in an environment of its own: the packages of .venv are part of the evidence. What is
there is kept, so that an interrupted installation goes on. Needs cmake, a C++ compiler, the network and 1 GB of disk.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from eval.common.answer import Answer
from eval.common.errors import UserError, run_command
from eval.common.places import ROOT
from eval.common.quota import cores
from eval.run.digests import file_sha256
from eval.run.files import write_json
from scripts.serving.gguf import MADE, SDIST_SHA256, TOOLS, VERSION, Tools, found_tools

PACKAGE = "llama-cpp-python"
COMPILERS = ("c++", "g++", "clang++")
LONGEST = 2 * 3600  # seconds of one step


def refuse_without_compiler() -> None:
    """UserError where nothing can be built."""
    missing = [] if shutil.which("cmake") else ["cmake"]
    missing += [] if any(map(shutil.which, COMPILERS)) else ["a C++ compiler (g++)"]
    if missing:
        raise UserError(f"gguf-tools builds llama.cpp and needs {' and '.join(missing)}: apt-get install cmake g++")


def is_built(tools: Tools) -> bool:
    """Whether the environment has the pinned package and its server, and they can be imported."""
    if not tools.python.is_file():
        return False
    code = "import llama_cpp, llama_cpp.server.app; print(llama_cpp.__version__)"
    done = subprocess.run([str(tools.python), "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == VERSION


def download(tools: Tools, folder: Path) -> Path:
    """The source package, of exactly the pinned bytes."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    step(tools, "download", "download", "--no-deps", "--no-binary", PACKAGE, "--require-hashes", "--dest", str(folder),
         "--requirement", str(wanted))  # fmt: skip
    (package,) = folder.glob("*.tar.gz")
    if file_sha256(package) != SDIST_SHA256:
        raise UserError(f"{package.name} is not what was pinned: nothing of it was run; try again")
    return package


def unpack(package: Path, source: Path) -> None:
    """The one folder of the source package as `source`, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=source.parent) as place:
        with tarfile.open(package) as archive:
            archive.extractall(place, filter="data")
        (inside,) = Path(place).iterdir()
        inside.rename(source)


def step(tools: Tools, doing: str, *arguments: str) -> None:
    """One call of the environment's pip. UserError with its last words."""
    print(f"gguf-tools: {doing} {PACKAGE} {VERSION}", flush=True)
    command = [str(tools.python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    environment = os.environ | {"CMAKE_BUILD_PARALLEL_LEVEL": str(cores())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"gguf-tools could not {doing} {PACKAGE} {VERSION}: {lines[-1][:300]}")


def install(folder: Path = TOOLS) -> Path:
    """Make what is not there; returns the folder. UserError with one line where that is not possible."""
    tools = Tools(folder)
    unpacked, built = tools.converter.is_file(), is_built(tools)
    if not (unpacked and built):
        refuse_without_compiler()
        folder.mkdir(parents=True, exist_ok=True)
        if not tools.python.is_file():
            subprocess.run([sys.executable, "-m", "venv", str(tools.python.parents[1])], check=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            package = download(tools, Path(place))
            if not unpacked:
                unpack(package, folder / "source")
            if not built:
                step(tools, "build", "install", "--requirement", str(ROOT / "requirements-gguf.txt"), str(package))
        if not is_built(tools):
            raise UserError(f"gguf-tools: what was built is not {PACKAGE} {VERSION}: remove {folder}, then again")
    write_json(folder / MADE, {"version": VERSION, "sha256": SDIST_SHA256})
    found_tools(folder)
    return folder


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m scripts.setup.gguf_tools", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    folder = install()
    print(f"gguf-tools: llama.cpp of {PACKAGE} {VERSION} is in {os.path.relpath(folder, ROOT)}")
    return Answer(0, files=[folder])


if __name__ == "__main__":
    run_command(main)
