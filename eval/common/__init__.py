"""What every room stands on: errors as one line, files read safely, the machine's limits.

It knows no run, suite or task.

From outside: any module.
"""
