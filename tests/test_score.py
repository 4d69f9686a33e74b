"""Scoring files: what is matched, what is refused, what is said; and the tool on its own command line."""

import csv
import io
import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from racctl.cli.app import run as racctl
from racctl.data.truth import read_truth
from racctl.errors import DataError, UsageError
from racctl.io.parquet import read_table, table_from_rows, write_table
from racctl.scoring import count_metrics as metrics
from racctl.scoring.counts import CountScoreOptions, score_files

QUICK = CountScoreOptions(resamples=50)

TRUTH = "name,type,count\na.mp4,squat,2\nb.mp4,squat,5\nc.mp4,push_up,0\nd.mp4,pushups,10\n"
PREDICTED = "clip,count\na,2.4\nb,5.5\nc,1\nd,5\n"  # rounded: 2, 6, 1, 5


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Write files by name into the working directory; returns the writer."""
    monkeypatch.chdir(tmp_path)

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text)

    write(truth=TRUTH, predicted=PREDICTED)
    return write


def counts(path, rows, schema="racctl.counts/1", **meta):
    with Path(path).open("wb") as file:
        write_table(file, table_from_rows(schema, rows, meta))


def values(scores, group="all"):
    return {row["metric"]: row["value"] for row in scores.rows if row["group"] == group}


def test_golden_scores():
    scores = score_files("truth", ["predicted"], options=QUICK)
    assert values(scores) == {
        "MAE": pytest.approx((0 + 1 / 5 + 5 / 10) / 3),
        "MAE@0.1": pytest.approx((0 + 1 / 5.1 + 1 / 0.1 + 5 / 10.1) / 4),
        "RMSE": pytest.approx(math.sqrt(27 / 4)),
        "OBO": 3 / 4,
        "OBZ": 1 / 4,
        "n_zero_truth": 1,
    }
    assert {row["metric"]: row["n"] for row in scores.rows} == {
        "MAE": 3, "MAE@0.1": 4, "RMSE": 4, "OBO": 4, "OBZ": 4, "n_zero_truth": 4,
    }  # fmt: skip


def test_what_is_said_besides_the_numbers():
    notes = "\n".join(score_files("truth", ["predicted"], options=QUICK).notes)
    assert "truth: 'truth' (plain)" in notes
    assert "clips scored: 4; left out of MAE alone for a true count of 0: 1 clip ('c')" in notes
    assert "rounded half up" in notes and "50 resamples, seed 0" in notes


def test_without_rounding_the_raw_counts_are_scored_and_it_says_how():
    scores = score_files("truth", ["predicted"], options=CountScoreOptions(rounding=False, resamples=0))
    result = values(scores)
    assert result["MAE"] == pytest.approx((0.4 / 2 + 0.5 / 5 + 0.5) / 3)
    assert (result["OBO"], result["OBZ"]) == (3 / 4, 0)
    assert any("rounding: none; OBO is" in note for note in scores.notes)
    assert scores.meta["rounding"].startswith("none")


def test_per_class_groups_by_the_merged_labels_of_the_truth():
    scores = score_files("truth", ["predicted"], options=CountScoreOptions(per_class=True, resamples=50))
    assert [row["group"] for row in scores.rows[::6]] == ["all", "push_up", "squat"]
    assert values(scores, "squat")["OBZ"] == 1 / 2
    assert values(scores, "push_up")["MAE"] == 1 / 2
    with pytest.raises(UsageError, match="no exercise labels"):
        score_files("predicted", ["predicted"], options=CountScoreOptions(per_class=True, rounding=False))


def test_a_class_of_zero_counts_has_no_mae(files):
    files(truth="clip,count,label\na,2,x\nb,5,x\nc,0,y\nd,10,x\n")
    scores = score_files("truth", ["predicted"], options=CountScoreOptions(per_class=True, resamples=50))
    mae = next(row for row in scores.rows if row["group"] == "y")
    assert mae == {"metric": "MAE", "value": None, "low": None, "high": None, "n": 0, "group": "y"}


def test_the_order_of_both_files_does_not_matter(files):
    first = score_files("truth", ["predicted"], options=QUICK)
    for name, text in (("truth", TRUTH), ("predicted", PREDICTED)):
        header, *lines = text.splitlines()
        random.Random(3).shuffle(lines)
        files(**{name: "\n".join([header, *lines])})
    assert score_files("truth", ["predicted"], options=QUICK).rows == first.rows


def test_several_prediction_files_are_one_table(files):
    files(one="clip,count\na,2.4\nb,5.5\n", two="video\treps\nx/c.avi\t1\nd.mp4\t5\n")
    joined = score_files("truth", ["one", "two"], options=QUICK)
    assert joined.rows == score_files("truth", ["predicted"], options=QUICK).rows
    with pytest.raises(DataError, match=r"'one' and 1 more names 2 clips \('a', 'b'\) more than once"):
        score_files("truth", ["one", "one"], options=QUICK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,count\na,2\nb,5\n", r"lacks 2 clips \('c', 'd'\) of the 4 in 'truth'"),
        (PREDICTED + "e,1\n", r"has 1 clip \('e'\) that 'truth' lacks"),
        ("clip,count\na,2\nb,5\nc,1\ne,1\n", r"lacks 1 clip \('d'\) of the 4 in 'truth', and has 1 clip \('e'\)"),
        (PREDICTED + "a,2.4\n", r"names 1 clip \('a'\) more than once"),
        (PREDICTED + "other/a.avi,2\n", r"more than once \(the first: 'a', count 2.4, and 'other/a.avi', count 2\)"),
        ("clip,count\na,2\nb,nan\nc,\nd,1\n", r"has no finite count for 2 clips \('b', 'c'\); count them again"),
        ("clip,count\na,2\nb,inf\nc,1\nd,1\n", "has no finite count for 1 clip"),
        ("clip,count\na,2\nb,1e308\nc,1\nd,1\n", r"has a count beyond 1e\+12 for 1 clip \('b'\)"),
        ("clip,count\na,2\nb,-1e308\nc,1\nd,1\n", r"has a count of -1e\+308 for clip 'b'; expected 0 or more"),
    ],
)
def test_clips_are_never_dropped(files, text, message):
    files(predicted=text)
    with pytest.raises(DataError, match=message) as caught:
        score_files("truth", ["predicted"], options=QUICK)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRUTH + "b.mp4,squat,5\n", r"'truth' names 1 clip \('b'\) more than once"),
        (TRUTH.replace(",5", ","), r"'truth' has no count for 1 clip \('b'\)"),
        (TRUTH.replace(",5", ",-5"), r"'truth' has a count below 0 for 1 clip \('b'\)"),
        (TRUTH.replace(",5", ",1e308"), r"'truth' has a count beyond 1e\+12 for 1 clip \('b'\)"),
        (TRUTH.replace(",5", ",5.5"), "'truth' has no whole count for 1 clip .*'--no-round'"),
    ],
)
def test_an_unsound_truth_is_refused(files, text, message):
    files(truth=text)
    with pytest.raises(DataError, match=message):
        score_files("truth", ["predicted"], options=QUICK)


def test_many_names_are_cut_to_a_few(files):
    files(truth="clip,count\n" + "".join(f"x{i},1\n" for i in range(20)), predicted="clip,count\nx0,1\n")
    with pytest.raises(DataError, match=r"lacks 19 clips \('x1', 'x10', 'x11' and 16 more\) of the 20"):
        score_files("truth", ["predicted"], options=QUICK)


def test_known_bad_clips_go_only_when_asked_and_by_name(files):
    files(truth=TRUTH + "stu4_5.mp4,bench_pressing,51\n")
    with pytest.raises(DataError, match="lacks 1 clip"):
        score_files("truth", ["predicted"], options=QUICK)
    requested = CountScoreOptions(exclude_known_bad=True, resamples=50)
    scores = score_files("truth", ["predicted"], options=requested)
    assert any(note.startswith("  stu4_5: the file is another video") for note in scores.notes)
    assert list(scores.meta["excluded"]) == ["stu4_5"]
    files(predicted=PREDICTED + "stu4_5,nan\n")  # a prediction for it is passed over, whatever it is
    assert score_files("truth", ["predicted"], options=requested).rows == scores.rows
    files(truth="name,count\nstu4_5,51\n")
    with pytest.raises(DataError, match="'truth' has no clips to score"):
        score_files("truth", ["predicted"], options=requested)


def test_parquet_of_counts_and_of_repetitions():
    rows = [{"clip": c, "person": 0, "count": n} for c, n in (("a", 2.4), ("b", 5.5), ("c", 1.0), ("d", 5.0))]
    counts("counts", rows, steps=[{"tool": "count", "version": "9", "args": {}}])
    scores = score_files("truth", ["counts"], options=QUICK)
    assert scores.rows == score_files("truth", ["predicted"], options=QUICK).rows
    assert [entry["tool"] for entry in scores.meta["steps"]] == ["count", "score"]  # provenance goes on

    rep = {"person": 0, "rep": 0, "start": 0, "stop": 9, "start_s": 0.0, "stop_s": 0.3, "label": ""}
    counts("reps", [{**rep, "clip": c} for c in "aabbbbbbcddddd"], "racctl.reps/1")
    assert values(score_files("truth", ["reps"], options=QUICK)) == values(scores)
    assert values(score_files("reps", ["reps"], options=QUICK))["OBZ"] == 1  # also a truth


def test_two_people_in_a_clip_are_not_one_count():
    counts("counts", [{"clip": "a", "person": p, "count": 2.0} for p in (0, 1)])
    with pytest.raises(DataError, match=r"more than once .*one person"):
        score_files("truth", ["counts"], options=QUICK)


def test_comparing_two_counters(files):
    files(other="clip,count\na,2\nb,5\nc,0\nd,4\n")
    scores = score_files("truth", ["predicted"], "other", QUICK)
    result, another = values(scores, "difference"), values(scores, "against")
    assert result["MAE"] == pytest.approx(values(scores)["MAE"] - another["MAE"])
    assert (result["OBO_only_first"], result["OBO_only_second"], result["OBO_p_mcnemar"]) == (0, 0, 1)
    assert 0 < result["MAE_p_bootstrap"] <= 1
    assert another == values(score_files("truth", ["other"], options=QUICK))
    assert any(note.startswith("'predicted' minus 'other': MAE +") for note in scores.notes)
    with pytest.raises(DataError, match="'short' lacks 3 clips"):
        files(short="clip,count\na,2\n")
        score_files("truth", ["predicted"], "short", QUICK)


def test_the_sign_and_the_discordant_clips(files):
    n = 12
    files(
        truth="clip,count\n" + "".join(f"x{i},10\n" for i in range(n)),
        predicted="clip,count\n" + "".join(f"x{i},10\n" for i in range(n)),
        other="clip,count\n" + "".join(f"x{i},{10 if i < 2 else 15}\n" for i in range(n)),
    )
    result = values(score_files("truth", ["predicted"], "other", CountScoreOptions(resamples=500)), "difference")
    assert result["MAE"] == pytest.approx(-0.5 * 10 / 12)
    assert (result["OBO_only_first"], result["OBO_only_second"]) == (10, 0)
    assert result["OBO_p_mcnemar"] == pytest.approx(2 / 2**10)
    assert result["MAE_p_bootstrap"] < 0.05


def test_the_interval_is_that_of_the_library():
    scores = score_files("truth", ["predicted"], options=CountScoreOptions(resamples=200, seed=5))
    predicted, true = np.array([2.0, 6, 1, 5]), np.array([2.0, 5, 0, 10])
    expected = metrics.bootstrap_interval("OBO", metrics.within_one(predicted, true), resamples=200, seed=5)
    row = next(row for row in scores.rows if row["metric"] == "OBO")
    assert (row["low"], row["high"]) == expected


def test_stdin_can_only_be_read_once():
    with pytest.raises(UsageError, match="only one of"):
        score_files("-", ["-"])


# ---- the tool


def run(*args):
    return racctl(["score", "--truth", "truth", *args])


def test_the_tool_writes_parquet_that_says_where_it_came_from():
    assert run("predicted", "-o", "scores.parquet", "--resamples", "20") == 0
    with open("scores.parquet", "rb") as file:
        meta, table = read_table(file, "scores.parquet")
    assert meta["schema"] == "racctl.scores/1" and meta["truth"] == {"name": "truth", "variant": "plain"}
    assert (meta["n"], meta["n_zero_truth"], meta["excluded"]) == (4, 1, {})
    assert meta["steps"][-1]["args"]["resamples"] == 20
    assert table.num_rows == 6
    first = Path("scores.parquet").read_bytes()
    run("predicted", "-o", "again.parquet", "--resamples", "20")
    assert Path("again.parquet").read_bytes() == first
    assert str(Path.cwd()).encode() not in first


def test_the_tool_writes_csv_and_json_and_notes_on_stderr(capsysbinary):
    assert run("predicted", "--format", "csv", "--resamples", "0") == 0
    out, err = capsysbinary.readouterr()
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert rows[3] == {"metric": "OBO", "value": "0.75", "low": "", "high": "", "n": "4", "group": "all"}
    assert b"clips scored: 4" in err and b"intervals" not in err
    run("predicted", "--format", "json", "-q", "--per-class")
    out, err = capsysbinary.readouterr()
    assert {row["group"] for row in json.loads(out)} == {"all", "squat", "push_up"} and err == b""


def test_the_tool_reads_predictions_from_stdin(capsysbinary, monkeypatch):
    with open("predicted", "rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        run("--format", "table")
    out, _ = capsysbinary.readouterr()
    assert b"MAE@0.1" in out and b"n_zero_truth" in out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["missing"], 1, "'missing' does not exist"),
        (["truth", "truth"], 1, "names 4 clips"),
        (["predicted", "--format", "xml"], 2, "invalid value 'xml' for '--format'"),
        (["predicted", "--resamples", "-1"], 2, "invalid value for '--resamples'"),
    ],
)
def test_the_tool_fails_in_one_line(capsys, args, code, message):
    assert run(*args) == code
    out, err = capsys.readouterr()
    assert err.startswith("racctl score: ") and message in err and err.count("\n") == 1 and out == ""


# ---- the published files themselves

ROOT = Path(os.environ.get("RACCTL_TEST_DATA", "")).resolve() / "annotations"
real = pytest.mark.skipif(
    "RACCTL_TEST_DATA" not in os.environ or not ROOT.is_dir(),
    reason="RACCTL_TEST_DATA does not point at a folder with annotations/",
)


@real
def test_one_publication_of_repcount_scores_perfectly_against_another():
    truth, predicted = str(ROOT / "escounts/repcount/test_with_fps.csv"), str(ROOT / "detrc/test_new.csv")
    scores = score_files(truth, [predicted], options=CountScoreOptions(resamples=0, per_class=True))
    result = values(scores)
    assert {"MAE": 0, "MAE@0.1": 0, "RMSE": 0, "OBO": 1, "OBZ": 1, "n_zero_truth": 1}.items() <= result.items()
    assert result["rep_F1@0.5"] > 0.95  # both mark the repetitions, but for few the same
    assert {row["group"] for row in scores.rows} == {
        "all", "bench_pressing", "front_raise", "jump_jack", "others", "pommel_horse", "pull_up", "push_up", "sit_up",
        "squat",
    }  # fmt: skip
    assert any("true count of 0: 1 clip ('train143')" in note for note in scores.notes)


@real
def test_the_splits_of_escounts_and_d2stx_are_not_the_same_test():
    truth, predicted = (
        str(ROOT / "escounts/repcount/test_with_fps.csv"),
        str(ROOT / "d2stx/repcount_new/test_with_fps_new.csv"),
    )
    with pytest.raises(DataError, match=r"lacks 2 clips \('stu4_5', 'train143'\) of the 152"):
        score_files(truth, [predicted])


@real
def test_published_files_that_cannot_be_scored_say_why_and_the_way_out():
    train, val = str(ROOT / "escounts/repcount/train_with_fps.csv"), str(ROOT / "escounts/countix/new_val.csv")
    for path, message in (
        (train, r"no count for 1 clip \('stu6_44'\)"),
        (val, r"names 2 clips .*count 2, and .*count 3"),
    ):
        with pytest.raises(DataError, match=message):
            score_files(path, [path])
        scores = score_files(path, [path], options=CountScoreOptions(exclude_known_bad=True, resamples=0))
        assert values(scores)["OBZ"] == 1
    assert len(read_truth(train)) == 758


@real
def test_parquet_of_real_scores_is_readable_by_anyone(tmp_path):
    truth = str(ROOT / "escounts/ucf-rep/new_val.csv")
    write = score_files(truth, [truth], options=QUICK).table()
    with (tmp_path / "s.parquet").open("wb") as file:
        write_table(file, write)
    assert pq.read_table(tmp_path / "s.parquet").column("n").to_pylist() == [105] * 10
