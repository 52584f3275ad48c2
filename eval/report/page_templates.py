"""The templates' environment: what a template prints is escaped for its kind, page or markdown, unless it is Markup.

`style` and `script` of the page are files of their own beside the templates and go in as they are: they hold nothing
from a run. The page's content security policy names the script by its digest.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.common.number_text import level_text, p_text
from eval.config.gate_rules import kind_of
from eval.report import number_text as numbers
from eval.report.escaped_text import LONGEST_TEXT, clip, facts, markdown_code, markdown_fence, markdown_text, visible
from eval.report.svg import LIGHT, colour_rules
from eval.run.metrics import is_rate

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
SHOWN = {"html": (300, 100), "md": (8, 3)}  # items lost and won of each task
TONES = {"pass": "pass", "fail": "fail", "inconclusive": "unsure", "ship": "pass", "no-ship": "fail"}


@cache
def environment(kind: str) -> "Environment":
    """The environment of `html` or `md`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    def as_markup(function: Callable[..., str]) -> Callable[..., Markup]:
        return lambda *arguments: Markup(function(*arguments))

    def finalize(value: Any) -> Any:
        if not isinstance(value, str) or isinstance(value, Markup):
            return value
        return Markup(markdown_text(value)) if kind == "md" else visible(value)

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # they change with the code; to look at their files costs a tenth of a report
    )
    ours = as_markup if kind == "md" else lambda function: function  # numbers hold nothing to escape in markdown
    made.filters |= {
        "level": ours(level_text),
        "difference": ours(numbers.difference_text),
        "visible": ours(numbers.visible_text),
        "estimate": ours(lambda *row: numbers.estimate_text(*row).replace(", ", ",\u00a0" if kind == "md" else ", ")),
        "threshold": as_markup(lambda *row: _kept_together(numbers.threshold_text(*row))),
        "p_value": ours(p_text),
        "clip": lambda text: clip(text, LONGEST_TEXT[kind]),
        "name": lambda text: Markup(re.sub("([_/])", r"\1<wbr>", str(escape(visible(text))))),  # where a line may end
        "facts": facts,
        "shown": visible,
        "marked": marked,
        "code": as_markup(markdown_code),
        "fence": as_markup(markdown_fence),
        "inline": lambda figure: Markup(figure.inline()),
    }
    made.tests |= {"rate": is_rate, "quantity": lambda gate: kind_of(gate.rule).quantity}
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    colours = colour_rules({name: f"var(--{name})" for name in LIGHT})
    made.globals |= {
        "symbols": {**numbers.SYMBOLS, "ship": "✓", "no-ship": "✕"},
        "tones": TONES,
        "lost_shown": SHOWN[kind][0],
        "won_shown": SHOWN[kind][1],
        "script": Markup(script),
        "script_sha256": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8") + colours),
    }
    return made


def marked(row: dict[str, Any]) -> str:
    """A trained row as text: what is learned between brackets that no row can bring itself."""
    texts = [(span["text"].replace("⟦", "[").replace("⟧", "]"), span["trained"]) for span in row["spans"]]
    return "".join(f"⟦{text}⟧" if trained else text for text, trained in texts)


def _kept_together(text: str) -> str:
    """Escaped, with spaces at which no line ends."""
    return text.replace("<", "&lt;").replace(">", "&gt;").replace(" ", "&nbsp;")
