"""Pages for a browser, above everything else: `spaces` imports `eval` and `scripts`, and nothing imports it."""
