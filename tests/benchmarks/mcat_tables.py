"""Print the paper's Tables 2, 3 and 4 beside ours, and accuracy against speed, from the runs that `mcat.mk` made.

python tests/benchmarks/mcat_tables.py OUT/runs --scale cpu
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from racctl.io.checkpoint import model_meta, read_model

# Accuracy, macro-F1, macro-AUC in percent, as the paper prints them (Tables 2 and 3).
PAPER = {
    "mlp_raw": (51.1, 13.4, 78.5), "mlp_both": (58.7, 30.2, 91.3), "mlp_mask": (52.3, 19.8, 84.2),
    "lstm_raw": (50.0, 14.7, 80.2), "lstm_both": (70.0, 55.3, 96.1), "lstm_mask": (61.2, 41.2, 92.3),
    "tcn_raw": (57.8, 28.3, 89.7), "tcn_both": (76.4, 68.6, 97.8), "tcn_mask": (69.8, 58.9, 95.4),
    "transformer_raw": (55.8, 34.0, 87.5), "transformer_both": (76.5, 66.5, 97.6),
    "transformer_mask": (71.2, 60.1, 95.8),
    "vivit_raw": (51.2, 35.2, 48.1), "vivit_both": (54.8, 48.0, 88.0), "vivit_mask": (50.1, 39.8, 81.5),
    "mcat_raw": (65.2, 51.6, 92.2), "mcat_both": (85.5, 81.5, 98.5), "mcat_mask": (80.6, 74.3, 98.0),
    "mcat_add": (74.2, 62.8, 96.8),
}  # fmt: skip
DEPTH = {"mcat_2": (83.2, 78.3, 2.9), "mcat_both": (85.5, 81.5, 4.0), "mcat_6": (85.2, 81.1, 5.2),
         "mcat_8": (84.8, 80.5, 6.4)}  # fmt: skip
FUSIONS = {"transformer_raw": "none (appearance only)", "transformer_both": "channel concatenation",
           "mcat_add": "element-wise addition", "mcat_both": "cross-attention"}  # fmt: skip
BEYOND = {"mcat_both": "as in the paper", "mcat_tempo": "+ tempo augmentation", "mcat_pose": "+ pose prior",
          "mcat_pose_tempo": "+ both", "pose_tempo": "pose alone, tempo augmentation"}  # fmt: skip
METRICS = ("accuracy", "macro_f1", "macro_auc")
SPEEDS = ("test_0_5x", "test_1x", "test_1_5x", "test", "test_3x", "test_4x")
SHOWN = {"test": "2x"} | {
    name: re.sub(r"test_|x", "", name).replace("_", ".") + "x" for name in SPEEDS if name != "test"
}


def scores(run: Path, split: str) -> tuple[float, ...] | None:
    """Accuracy, macro-F1, macro-AUC, percent; None where the run has none."""
    path = run / f"{split}.scores.parquet"
    if not path.is_file():
        return None
    rows = {row["metric"]: row["value"] for row in pq.read_table(path).to_pylist() if row["group"] == "all"}
    return tuple(100 * rows[metric] if rows[metric] is not None else float("nan") for metric in METRICS)


def of(runs: Path, name: str, split: str = "test") -> np.ndarray:
    """(seeds, 3) percent."""
    result = [scores(run, split) for run in sorted(runs.glob(f"{name}@*"))]
    return np.array([row for row in result if row]).reshape(-1, 3)


def shown(values: np.ndarray) -> str:
    """Mean over the seeds, and half their range where there are several."""
    if not len(values):
        return "–"
    spread = f" ±{np.ptp(values) / 2:.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def table(runs: Path, title: str, names: dict[str, str]) -> None:
    print(f"\n{title}\n\n| | paper acc | F1 | AUC | ours acc | F1 | AUC | seeds |\n|---|---|---|---|---|---|---|---|")
    for name, label in names.items():
        result, theirs = of(runs, name), PAPER.get(name)
        paper = " | ".join(f"{value:.1f}" for value in theirs) if theirs else "– | – | –"
        print(f"| {label} | {paper} | {' | '.join(shown(result[:, k]) for k in range(3))} | {len(result)} |")


def depth(runs: Path) -> None:
    print("\nTable 4: depth\n\n| layers | paper acc | F1 | M | ours acc | F1 | M |\n|---|---|---|---|---|---|---|")
    for name, (accuracy, f1, size) in DEPTH.items():
        result, count = of(runs, name), "–"
        for path in sorted(runs.glob(f"{name}@*/model.safetensors"))[:1]:
            with open(path, "rb") as file:
                tensors = read_model(file, str(path))[1]
            learnt = [t for key, t in tensors.items() if "running" not in key and "num_batches" not in key]
            count = f"{sum(t.numel() for t in learnt) / 1e6:.2f}"
        print(f"| {4 if name == 'mcat_both' else name[-1]} | {accuracy} | {f1} | {size} | {shown(result[:, 0])} | "
              f"{shown(result[:, 1])} | {count} |")  # fmt: skip


def speed(runs: Path) -> None:
    print("\nAccuracy against tempo (over the training tempo)\n")
    print(f"| | {' | '.join(SHOWN[name] for name in SPEEDS)} | lost from 1x to 4x |\n|{'---|' * (len(SPEEDS) + 2)}")
    names = BEYOND | {"mcat_mask": "masks alone", "transformer_both": "transformer, concatenated", "tcn_both": "TCN"}
    for name, label in names.items():
        result = [of(runs, name, split)[:, 0] for split in SPEEDS]
        lost = f"{result[1].mean() - result[-1].mean():.1f}" if len(result[1]) and len(result[-1]) else "–"
        print(f"| {label} | {' | '.join(shown(single) for single in result)} | {lost} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--scale", default="paper")
    requested = parser.parse_args()
    first = next(iter(sorted(requested.runs.glob("*/model.safetensors"))), None)
    if first is None:
        raise SystemExit(f"no runs in '{requested.runs}'; make -f tests/benchmarks/mcat.mk tables")
    meta = model_meta(first)
    shape = f"{meta['input']['size']} pixels, {meta['training']['epochs']} epochs"
    windows = f"{meta['training']['windows']} training windows of {meta['data']['clips']} sessions"
    print(f"Scale '{requested.scale}': {shape}, {windows}. Test: 2x, unless said.")
    names = {key: key.replace("_", " ").upper() for key in PAPER if key != "mcat_add"}
    table(requested.runs, "Table 2: models and inputs", names)
    table(requested.runs, "Table 3: fusion", FUSIONS)
    depth(requested.runs)
    speed(requested.runs)


if __name__ == "__main__":
    main()
