"""What a person reads on a job's page and in the comment of a pull request, from metrics.json alone.

    text = render_summary("shell", run, digest="3f...")     a short table: verdict, gates, what to do next
    text = with_report(text, run)                           with report.md below it, for the job's page

Needs the packages of requirements-logs.txt only, since the action for other repositories uses it too.
"""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eval.common.reading import read_text
from eval.report.escaped_text import markdown_code, markdown_text
from eval.report.number_text import SYMBOLS
from eval.run.files import read_metrics
from eval.run.metrics import Metrics

TEMPLATES = Path(__file__).resolve().parent / "templates"
SHORT = 16  # hexadecimal digits of a digest that an approval has to name: 64 bits, which nobody hits by chance
VERDICTS = {"ship": SYMBOLS["pass"], "no-ship": SYMBOLS["fail"], "inconclusive": SYMBOLS["inconclusive"]}


@dataclass(frozen=True)
class ServedForm:
    """A served form's verdict, and what came of its check: its run where there is one."""

    form: str
    verdict: str
    reasons: tuple[str, ...] = ()


def render_summary(
    title: str, run: Path, digest: str = "", environment: str = "", served: ServedForm | None = None
) -> str:
    """Markdown about one run. `digest`: of its evidence, for who approves it in `environment`; empty: nobody can.

    UserError where the run has no readable metrics.json.
    """
    metrics = read_metrics(run / "metrics.json")
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # markdown; `finalize` is the escape
        finalize=lambda value: value if isinstance(value, Code) else markdown_text(str(value)),
    )
    templates.filters["code"] = lambda value: Code(markdown_code(str(value)))
    blocking = [gate for gate in metrics.gates if gate.tier == "blocking"]
    return templates.get_template("summary.md.j2").render(
        title=title,
        m=metrics,
        symbol=Code(VERDICTS[metrics.verdict]),
        symbols=SYMBOLS,
        blocking=blocking,
        passed=sum(gate.outcome == "pass" for gate in blocking),
        advisory=[gate for gate in metrics.gates if gate.tier == "advisory" and gate.outcome != "pass"],
        digest=digest,
        short=digest[:SHORT],
        environment=environment,
        served=served,
    )


class Code(str):
    """Markdown that a template prints as it is."""


def served_form(form: str, run: Path) -> ServedForm:
    """What the check of a served form said, from its own run."""
    metrics: Metrics = read_metrics(run / "metrics.json")
    return ServedForm(form, metrics.verdict, tuple(metrics.reasons))


def with_report(text: str, run: Path) -> str:
    """The summary with the whole report below it; its figures are in the artifact, and a link to them leads nowhere."""
    lines = read_text(run / "report.md").splitlines()
    report = "\n".join(line for line in lines if not line.startswith("!["))
    return f"{text}\n<details>\n<summary>The whole report</summary>\n\n{report}\n\n</details>\n"
