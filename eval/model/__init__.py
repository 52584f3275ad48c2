"""Models and tasks through lm-evaluation-harness: the only room that imports torch.

From outside: `backends` loads what answers, `lm_tasks` builds samples and scores, `neutral` asks for drift,
`answer_cache` keeps. `endpoint` is a room of its own inside: backends that ask a server. Everything
else is how `hf` keeps the contract of eval/contracts/backend.py.
"""
