"""A Hub on this machine, as far as the huggingface_hub client can tell: for tests and `make demo-publish`."""
