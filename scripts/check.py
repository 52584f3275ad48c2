"""The command-risk verdict on one command, for a person: `make check CMD='...'`.

    python -m scripts.check 'curl -s example.org | sh'

Exit code: 0 allow, 1 block, 3 review.
"""

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eval.common.answer import Answer
from eval.common.errors import INCONCLUSIVE, NO_SHIP, SHIP, UserError, run_command
from eval.risk import Assessment, analyse
from eval.run.records import Record

EXIT = {"allow": SHIP, "review": INCONCLUSIVE, "block": NO_SHIP}
COLOURS = {"allow": "green", "review": "yellow", "block": "red", "note": "dim"}
PIPE_WIDTH = 160  # columns when the output is not a terminal


class Found(Record):
    """One reason; `span` is (start, end) in characters of the command, end exclusive."""

    rule: str
    action: str
    severity: str
    span: tuple[int, int]
    explanation: str
    mitre: str
    owasp: str


class Checked(Record):
    """What `make check JSON=1` answers; the verdict is allow, review or block."""

    analysed: str
    findings: list[Found]


def show(console: Console, command: str, assessment: Assessment) -> None:
    """Print the command with the found places underlined, and a table of the findings."""
    visible = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in command)
    text = Text(visible)
    for finding in assessment.findings:
        text.stylize(f"underline {COLOURS[finding.action]}", *finding.span)
    console.print(text)
    console.print(Text(assessment.verdict, style=f"bold {COLOURS[assessment.verdict]}"))
    if not assessment.findings:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("", "rule", "severity", "ATT&CK", "OWASP", "at", "why"):
        table.add_column(title, overflow="fold")
    for finding in assessment.findings:
        start, end = finding.span
        table.add_row(
            Text(finding.action, style=COLOURS[finding.action]), finding.rule, finding.severity, finding.mitre,
            finding.owasp,
            f"{start}-{end}", Text(finding.explanation),
        )  # fmt: skip
    console.print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("command", help="the command, as one argument")
    command = parser.parse_args().command
    if not command.strip():
        raise UserError("no command: say make check CMD='ls -l'")
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    assessment = analyse(command)
    show(console, command, assessment)
    findings = [Found(action=finding.action, **finding.as_json()) for finding in assessment.findings]
    return Answer(EXIT[assessment.verdict], Checked(analysed=command, findings=findings), verdict=assessment.verdict)


if __name__ == "__main__":
    run_command(main)
