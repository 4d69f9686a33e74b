"""racctl compare, `--missing`, and how well repetitions agree in time."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from commands import one_line, racctl

from racctl.errors import UsageError
from racctl.io.output import write_file
from racctl.io.parquet import table_from_rows, write_table
from racctl.scoring.borders import agreement, matched, repetition_scores
from racctl.scoring.compare import names_of
from racctl.scoring.count_metrics import mcnemar_exact
from racctl.scoring.counts import CountScoreOptions

CLIPS = [f"c{k}" for k in range(8)]
TRUE = [4, 5, 0, 7, 3, 9, 2, 6]


def a_table(path, counts, label=True):
    exercises = ["squat" if k % 2 else "lunge" for k in range(len(counts))]
    rows = zip(CLIPS, counts, exercises, strict=False)
    lines = [f"{clip}.mp4,{count}{f',{name}' * label}" for clip, count, name in rows if count is not None]
    path.write_text("\n".join([f"clip,count{',label' * label}", *lines]) + "\n")
    return path


def reps(path, spans, fps=10.0):
    """A racctl.reps/1 of clip -> (start, stop) frames."""
    rows = [
        {"clip": clip, "person": 0, "rep": k, "start": a, "stop": b, "start_s": a / fps, "stop_s": b / fps, "label": ""}
        for clip, cycles in spans.items()
        for k, (a, b) in enumerate(cycles)
    ]
    write_file(path, lambda file: write_table(file, table_from_rows("racctl.reps/1", rows)))
    return path


def rows_of(done):
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout.decode())))


def test_counters_stand_beside_each_other(tmp_path):
    truth = a_table(tmp_path / "truth.csv", TRUE)
    good = a_table(tmp_path / "good.csv", [4, 5, 0, 7, 3, 8, 2, 6], label=False)
    poor = a_table(tmp_path / "poor.counts.csv", [8, 5, 1, 3, 3, 5, 2, 6], label=False)
    done = racctl("compare", "--truth", truth, good, poor, "--format", "csv", "--plot", tmp_path / "errors.png")
    first, second = rows_of(done)
    assert (first["predictions"], second["predictions"]) == ("good", "poor")
    assert float(first["OBO"]) == 1 and float(first["OBZ"]) == pytest.approx(7 / 8)
    assert float(first["MAE"]) == pytest.approx(1 / 9 / 7)  # the clip without repetitions is left out
    assert first["n"] == "8" and first["n_zero_truth"] == "1" and first["MAE_change"] == ""
    assert float(second["MAE_change"]) == pytest.approx((4 / 4 + 4 / 7 + 4 / 9 - 1 / 9) / 7)
    assert (second["OBO_gained"], second["OBO_lost"]) == ("0", "3")
    assert float(second["OBO_p"]) == pytest.approx(mcnemar_exact(np.zeros(3), np.ones(3))[2])
    assert (tmp_path / "errors.png").read_bytes()[:4] == b"\x89PNG"
    assert b"changes are against 'good'" in done.stderr


def test_a_clip_without_a_prediction_is_an_error_skipped_or_zero(tmp_path):
    truth = a_table(tmp_path / "truth.csv", TRUE)
    short = a_table(tmp_path / "short.csv", [4, 5, 0, None, 3, 9, 2, 6], label=False)
    words = ["score", "--truth", truth, short, "--format", "csv"]
    assert "lacks 1 clip ('c3')" in one_line(racctl(*words), 1)
    skipped, zero = (racctl(*words, "--missing", how) for how in ("skip", "zero"))
    values = [{row["metric"]: row for row in rows_of(done)} for done in (skipped, zero)]
    assert [value["OBO"]["n"] for value in values] == ["7", "8"]
    assert [float(value["OBO"]["value"]) for value in values] == [1, pytest.approx(7 / 8)]
    assert b"without a prediction, skipped: 1 clip ('c3')" in skipped.stderr
    assert b"taken as 0: 1 clip ('c3')" in zero.stderr
    whole = a_table(tmp_path / "whole.csv", TRUE, label=False)
    done = racctl("compare", "--truth", truth, whole, short, "--missing", "skip", "--format", "csv")
    assert [row["n_missing"] for row in rows_of(done)] == ["0", "1"]
    assert "expected one of error, skip, zero" in one_line(racctl(*words, "--missing", "drop"), 2)
    with pytest.raises(UsageError):
        CountScoreOptions(missing="x")


def test_repetitions_are_scored_where_both_mark_them(tmp_path):
    true = {"a": [(0, 10), (10, 20), (20, 30)], "b": [(0, 20), (20, 40)]}
    truth = reps(tmp_path / "truth.parquet", true)
    counted = reps(tmp_path / "counted.parquet", {"a": [(1, 10), (10, 22), (40, 50)], "b": [(0, 20), (20, 40)]})
    rows = rows_of(racctl("score", "--truth", truth, counted, "--format", "csv"))
    values = {row["metric"]: float(row["value"]) for row in rows if row["value"]}
    assert values["rep_precision@0.5"] == values["rep_recall@0.5"] == pytest.approx(4 / 5)
    assert values["border_error_s"] == pytest.approx((0.1 + 0.2) / 8)
    both = rows_of(racctl("compare", "--truth", truth, truth, counted, "--format", "csv", "--plot", tmp_path / "e.svg"))
    assert [float(row["rep_F1@0.5"]) for row in both] == [1, pytest.approx(0.8)]
    assert b"repetitions per second" in (tmp_path / "e.svg").read_bytes()
    counts = a_table(tmp_path / "counts.csv", [3, 2], label=False)
    lines = [row["metric"] for row in rows_of(racctl("score", "--truth", counts, counts, "--format", "csv"))]
    assert not any(name.startswith("rep_") for name in lines)


def test_what_cannot_be_compared_is_one_line(tmp_path):
    truth = a_table(tmp_path / "truth.csv", TRUE)
    (tmp_path / "sub").mkdir()
    again = a_table(tmp_path / "sub/truth.csv", TRUE)
    for words, code, message in (
        ([truth], 2, "nothing to compare with"),
        ([truth, truth], 2, "named more than once"),
        ([truth, again, "--plot", tmp_path / "x.pdf"], 2, "end it in .png or .svg"),
        ([truth, tmp_path / "none.csv"], 1, "does not exist"),
    ):
        assert message in one_line(racctl("compare", "--truth", truth, *words), code)
    assert names_of([str(truth), str(again)]) == [str(truth), str(again)]


def test_as_many_repetitions_are_matched_as_can_be_each_once():
    true = np.array([[0, 10], [10, 20]])
    rows, columns = matched(true, np.array([[0, 10], [1, 11], [30, 40]]))
    assert rows.tolist() == [0] and columns.tolist() == [0]  # the better one of two
    assert len(matched(true, np.zeros((0, 2)))[0]) == 0
    pairs = agreement([true], [np.array([[2, 10], [10, 20]])], [None])
    assert pairs.borders.tolist() == [0] and np.isnan(repetition_scores(pairs, 100, 0)["border_error_s"][0])
    assert repetition_scores(pairs, 100, 0)["rep_F1@0.5"][0] == 1
