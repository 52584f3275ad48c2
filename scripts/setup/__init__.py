"""What `make setup` does before there is an environment: packages, torch, base model, sandbox root.

From outside: each module is a verb of the Makefile.
"""
