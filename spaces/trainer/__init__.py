"""The page of `make space`: train, watch, stop, read, decide; here or as a Hugging Face Space (docs/page.md)."""
