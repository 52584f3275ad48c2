"""Log-likelihoods of given texts from a server's completions: the prompt comes back (`echo`) with each token's own.

    gives_likelihoods(ask, model)          does this server do that? One request
    body = likelihood_request(model, context, continuation)
    value, greedy = read_likelihood(response, continuation)         nats; whether each token was the likeliest

The protocol is that of OpenAI's completions as lm-evaluation-harness's `local-completions` uses it: one token is
generated and left out. No tokenizer is needed here: the continuation's tokens are those that spell it, from the end. A
token across the border counts to the continuation, in both arms alike.
"""

import math
from typing import Any

from eval.model.endpoint.answers import first_choice
from eval.model.endpoint.connection import Malformed

PROBE = ("The capital of France is", " Paris")


def moved_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces at the end of a context belong to the continuation's first token, as lm-eval has it."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def likelihood_request(model: str, context: str, continuation: str, seed: int) -> dict[str, Any]:
    """The body of the request for the likelihood of a continuation."""
    return {
        "model": model, "prompt": context + continuation, "max_tokens": 1, "temperature": 0.0, "seed": seed,
        "logprobs": 1, "echo": True,
    }  # fmt: skip


def read_likelihood(value: Any, continuation: str) -> tuple[float, bool]:
    """Log-likelihood of the continuation in nats, and whether it is what the model would have said.

    Malformed where the response does not hold the prompt's tokens with a log-probability each.
    """
    found = first_choice(value).get("logprobs")
    found = found if isinstance(found, dict) else {}
    tokens, own, top = (found.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(tokens, list) or not isinstance(own, list) or not isinstance(top, list):
        raise Malformed("its answer has no log-probabilities of the prompt")
    if not 1 < len(tokens) == len(own) == len(top) or not all(isinstance(token, str) for token in tokens):
        raise Malformed("its log-probabilities are not one for each token")
    total, greedy, spelled = 0.0, True, ""
    for token, logprob, best in reversed(list(zip(tokens, own, top, strict=True))[:-1]):
        if len(spelled) >= len(continuation):
            break
        spelled = token + spelled
        total += number(logprob)
        rivals = best.values() if isinstance(best, dict) else ()
        greedy = greedy and number(logprob) >= max((number(rival) for rival in rivals), default=-math.inf)
    if not spelled.endswith(continuation):
        raise Malformed("its tokens do not spell the prompt's end: set `likelihoods: none`")
    return total, greedy


def number(value: Any) -> float:
    """A log-probability. Malformed for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > 1e-6:
        raise Malformed("a log-probability of its answer is no number up to 0")
    return float(value)
