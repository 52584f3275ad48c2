"""Quantised weights that stay as they were loaded."""

from typing import Any


def keep_unpacked(model: Any) -> None:
    """On CPUs with AVX512-BF16 bitsandbytes packs a 4-bit weight anew at the first answer, its scales rounded, and
    unpacks it when it is saved: no digest of it would hold, and other CPUs would give other answers."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
