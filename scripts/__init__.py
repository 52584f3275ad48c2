"""The verbs around the suite, each run as `python -m scripts.NAME`; the Makefile names them all."""
