from eval.common.errors import run_command
from eval.report.rendering import main

run_command(main)
