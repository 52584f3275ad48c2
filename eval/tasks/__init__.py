"""Our tasks, one folder a domain: lm-eval's task files, the checks they call, and what is needed to run answers.

From outside: found by name, through `eval/contracts/domains.py`; a folder's `domain.py` says what it offers.
"""
