"""Backends that ask a server which speaks OpenAI's API: one that runs already (`endpoint`), or a vLLM started here.

From outside: `serving`, `vllm_backend`, through `eval/model/backends.py`.
"""
