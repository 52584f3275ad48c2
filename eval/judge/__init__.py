"""The execution judge: two commands are equal when they do the same, not when they look the same."""
