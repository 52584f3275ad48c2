"""Rented machines that end by themselves: train there, bring the run folder back, end the machine, prove it.

From outside: `python -m scripts.remote` (docs/remote.md). A provider is a class with the methods of
`provider.Provider`; the order of things is `loop`, what runs on the machine is `boot.sh` and then `machine`.
"""
