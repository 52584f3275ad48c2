"""Served forms of a run: what `make serve-check` makes, starts and asks (llama.cpp's, and servers that run already)."""
