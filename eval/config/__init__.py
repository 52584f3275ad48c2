"""What a suite file may say, and what it does not prove.

From outside: `suite_file.load_suite`; the rules are in `gate_rules`, the facts about metrics in `metric_table`.
"""
