"""The site of `make docs`: README.md, docs/, the README of each dataset and the measured tables, as they are.

Links are relative and lead to the same places here, on GitHub and in an editor. A link to a file that is not a page
becomes a download.
"""

from sphinx.application import Sphinx

project = "SecureCLI-Tuner"
project_copyright = "the authors, MIT licence"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = [
    "README.md", "docs/*.md", "data/*/README.md", "configs/*/README.md", "products/*/README.md", "results/bench/*.md",
    "results/demo/*.md", "results/nl2bash-cpu/*.md",
]  # fmt: skip
exclude_patterns = [".*", "models", "eval", "scripts", "spaces", "tests"]

myst_heading_anchors = 4  # links to headings, by the names that GitHub gives them
nitpicky = True
suppress_warnings = ["myst.header"]  # tables of benchmarks begin with small headings

html_theme = "furo"
html_title = "SecureCLI-Tuner"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

CONTENTS = {
    "Use": ["docs/commands", "configs/train/README", "docs/rehearsal", "docs/pods", "docs/runpod", "docs/remote",
            "configs/remote/README", "docs/containers", "docs/adapters", "docs/gates", "docs/page", "docs/review",
            "docs/sweep", "docs/publishing", "docs/quantising", "docs/ci", "docs/tracking", "docs/logs",
             "docs/backends"],
    "How answers are judged": ["docs/judge", "docs/collateral", "docs/risk", "docs/risk_rules", "docs/sandbox",
                               "docs/retention"],
    "Data": ["docs/data", "docs/teachers", "data/nl2bash/README", "data/safety/README", "data/retention/README",
             "data/replay/README", "products/reasoner/README"],
    "Evidence": ["docs/evidence", "The demo's report <results/demo/report>", "results/nl2bash-cpu/README",
                 "NL2Bash's report <results/nl2bash-cpu/report>",
                 "results/bench/verdict", "results/bench/judge", "results/bench/danger", "docs/log"],
    "Code": ["docs/architecture", "docs/extending"],
}  # fmt: skip


TITLES = {"results/bench/verdict": "Verdicts, simulated", "results/bench/judge": "The judge, every row"}


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """What the pages cannot hold themselves: the side bar's contents, and titles of what benchmarks write.

    A page of the contents that does not exist yet is left out.
    """
    if page in TITLES:
        source[0] = f"# {TITLES[page]}\n\n{source[0]}"
    if page == root_doc:
        for caption, pages in CONTENTS.items():
            known = [name for name in pages if name.split("<")[-1].rstrip(">") in app.env.found_docs]
            source[0] += "\n\n```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(known) + "\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_contents)
