"""The narrowest arithmetic that a processor is fast in."""

from __future__ import annotations

import torch


def fast_dtype(device: torch.device) -> torch.dtype:
    """``bfloat16`` where the device computes in it, otherwise ``float32``."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Emulated bfloat16 is slower than float32, so a CPU has to have the instructions.
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32
