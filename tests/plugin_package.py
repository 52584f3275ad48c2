"""An installed package, as importlib.metadata sees one: a module and its dist-info in a folder on the path.

install(folder, "gates", {"min_median": "their_gates:MinMedian"}, "their_gates", code)
"""

from pathlib import Path


def install(folder: Path, group: str, offers: dict[str, str], module: str, code: str) -> Path:
    """Write the package; the caller puts `folder` on the path. Returns the module's file."""
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    entries = "".join(f"{name} = {place}\n" for name, place in offers.items())
    (about / "entry_points.txt").write_text(f"[securecli_tuner.{group}]\n{entries}")
    (about / "RECORD").write_text(f"{module}.py,,\n")
    path = folder / f"{module}.py"
    path.write_text(code)
    return path
