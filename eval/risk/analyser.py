"""`analyse(command)`: what a Bash command would do, and whether to allow, review or block it.

Pure: no process, no file of the machine, no network; the same text always gets the same answer.
"""

from eval.risk.findings import Assessment, Finding, make_finding
from eval.risk.policy import assess
from eval.risk.shell import Shell, TooMuch
from eval.risk.syntax import HIDDEN, parse


def analyse(command: str) -> Assessment:
    """The assessment of one command line or script of Bash. Never raises for any text.

    It does not protect against: what a script, program or function defined elsewhere does; aliases and variables
    of the shell it will run in; symbolic links and mounts; races; other shells' syntax; what a remote machine does
    with what it is sent. `allow` means that nothing dangerous is known of the command, not that it is right.
    """
    if not command.strip():
        return assess([make_finding("empty", 0, len(command))])
    findings: list[Finding] = []
    if not command.isprintable() and (hidden := HIDDEN.search(command)):
        findings.append(make_finding("hidden-characters", hidden.start(), hidden.end()))
    syntax = parse(command)
    if syntax is None:
        return assess([*findings, make_finding("too-large", 0, len(command))])
    if syntax.problem:
        findings.append(make_finding(syntax.problem, 0, len(command)))
    for reading in syntax.readings:
        shell = Shell(reading.text)
        shell.places = reading.places
        try:
            shell.run(reading.root)
            shell.finish()
        except TooMuch:
            findings.append(make_finding("too-large", 0, len(command)))
        findings += shell.findings
    return assess(findings)
