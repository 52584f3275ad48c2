"""Reading Bash as text: the command in an answer, its canonical form, its utilities. Nothing is executed.

From outside: `parsing`; `command_lines` tells a command from a sentence.
"""
