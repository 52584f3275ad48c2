"""What the workflows of .github need beside the project's own verbs: products, summaries, a comment, approvals."""
