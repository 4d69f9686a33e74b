"""Parameters, arithmetic and time of the frozen video encoders, random weights, one window at a time.

python tests/benchmarks/encoder_flops.py [--device cpu|cuda] [--threads N] [--runs N] [--preset NAME] [ENCODER ...]
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from racctl.encoders.kinetics import NETWORKS, FrozenVideoEncoder, video_encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="*", default=[], metavar="ENCODER")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--preset", default="")
    requested = parser.parse_args()
    torch.set_num_threads(requested.threads)
    print(f"{'encoder':<16}{'window':>16}{'tokens':>16}{'params M':>10}{'GFLOP':>8}{'ms median':>11}{'ms best':>9}")
    for name in requested.encoders or NETWORKS:
        encoder = video_encoder(name, random=True, device=requested.device, preset=requested.preset)
        side = encoder.look.side
        window = torch.randint(256, (1, encoder.frames, side, side, 3), dtype=torch.uint8)
        times = sorted(timed(encoder, window) for _ in range(requested.runs))
        print(
            f"{name:<16}{f'{encoder.frames}x{side}x{side}':>16}{'x'.join(map(str, encoder.shape)):>16}"
            f"{sum(p.numel() for p in encoder.network.parameters()) / 1e6:>10.2f}{gigaflops(encoder, window):>8.1f}"
            f"{times[len(times) // 2]:>11.0f}{times[0]:>9.0f}"
        )


def gigaflops(encoder: FrozenVideoEncoder, window: torch.Tensor) -> float:
    """Of one window; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # it knows not all fused attentions
        encoder(window)
    return counter.get_total_flops() / 1e9


def timed(encoder: FrozenVideoEncoder, window: torch.Tensor) -> float:
    """Milliseconds of one window."""
    start = time.perf_counter()
    encoder(window).cpu()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
