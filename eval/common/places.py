"""Where the repository is. Standard library only: set-up starts before anything is installed."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
