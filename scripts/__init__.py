"""The verbs around the suite, each run as `python -m scripts.NAME`; the Makefile names them all."""

from eval.common.error_log import REDACTORS


def redact_credentials(text: str) -> str:
    """What eval/run/secret_patterns.py knows as a credential, removed. Imported when needed: it takes numpy."""
    from eval.run.secret_patterns import redact

    return redact(text)


REDACTORS.append(redact_credentials)
