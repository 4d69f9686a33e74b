"""What float16 and int8 cost: the networks that ship as `racctl export` writes them, run by onnxruntime on one thread.

python tests/benchmarks/precision.py --poses DIR --drawn-poses DIR --features DIR --drawn-features DIR

The ranges of int8 are settled by drawn clips, a few of each folder; the rows are over the real ones. Same: the share of
windows (recogniser) with the label, or of clips (counter) with the rounded count, that PyTorch gives in float32. ms: of
one window, or of one clip, median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from racctl.counters.calibration import calibration_of
from racctl.weights.export import PRECISIONS, Arrays, export_onnx, load_exportable

CALIBRATED_BY = 24  # clips


def files(folder: Path, ending: str, most: int = 10_000) -> list[str]:
    """Every clip of a folder, or this many evenly from it."""
    paths = sorted(str(path) for path in folder.glob(f"*{ending}"))
    return [paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))]


def session(payload: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def samples(name: str, sources: list[str]) -> Iterator[Arrays]:
    for source in sources:
        try:
            yield from calibration_of(name, [source])
        except Exception as error:
            print(f"left out: {source}: {error}")


def labels(logits: np.ndarray) -> list[int]:
    return logits.argmax(1).tolist()


def counts(density: np.ndarray) -> list[int]:
    return [int(np.floor(max(density.sum(), 0) + 0.5))]


def rows(name: str, real: list[str], drawn: list[str], told: Callable[[np.ndarray], list[int]]) -> None:
    exportable, _ = load_exportable(name)
    fed = list(samples(name, real))
    with torch.no_grad():
        expected = [exportable.network(*map(torch.from_numpy, arrays.values())).numpy() for arrays in fed]
    truth = [value for output in expected for value in told(output)]
    for precision in (*PRECISIONS, "int8, calibrated"):
        calibration = list(samples(name, drawn)) if "calibrated" in precision else ()
        payload = export_onnx(name, precision.split(",")[0], calibration)
        run = session(payload)
        values, seconds, gap = [], [], 0.0
        for arrays, output in zip(fed, expected, strict=True):
            begin = time.perf_counter()
            (got,) = run.run(None, arrays)
            seconds.append((time.perf_counter() - begin) / len(told(got)))
            values += told(got)
            gap = max(gap, float(np.abs(got - output).max()))
        same = np.mean([a == b for a, b in zip(values, truth, strict=True)])
        print(f"| {name} | {precision} | {len(payload) / 1e6:.2f} | {1e3 * statistics.median(seconds):.1f} | "
              f"{same:.3f} ({len(truth)}) | {gap:.2g} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("--poses", "--drawn-poses", "--features", "--drawn-features"):
        parser.add_argument(option, type=Path)
    requested = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | precision | MB | ms | same (n) | largest difference |\n|---|---|---|---|---|---|")
    if requested.poses:
        drawn = files(requested.drawn_poses, ".npz", CALIBRATED_BY)
        rows("joints", files(requested.poses, ".npz"), drawn, labels)
    if requested.features:
        drawn = files(requested.drawn_features, ".npz", CALIBRATED_BY)
        rows("d2stx", files(requested.features, ".npz"), drawn, counts)


if __name__ == "__main__":
    main()
