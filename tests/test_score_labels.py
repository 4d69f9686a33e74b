"""Scoring files of labels: what an item is, what is matched, what is refused, what is said; and the tool."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from racctl.cli.app import run as racctl
from racctl.data.predictions import read_predictions
from racctl.errors import DataError, UsageError
from racctl.io.parquet import read_table, table_from_rows, write_table
from racctl.scoring.confusion import confusion
from racctl.scoring.counts import score_files
from racctl.scoring.labels import LabelScoreOptions, score_labels

CLASSES = ["background", "lunge", "squat", "plank"]
QUICK = LabelScoreOptions(resamples=40)


def table(path, rows, schema="racctl.labels/1", **meta):
    with Path(path).open("wb") as file:
        write_table(file, table_from_rows(schema, rows, meta))


def row(clip, start, stop, label, probs=None, **more):
    return {
        "clip": clip, "start": start, "stop": stop, "start_s": start / 30, "stop_s": stop / 30, "label": label,
        "probs": probs, **more,
    }  # fmt: skip


def sure(label, p=0.7):
    """Probabilities of which `label` has p, the others the same."""
    return [p if name == label else (1 - p) / 3 for name in CLASSES]


TRUTH = [
    row("a", 0, 20, "background", [1.0]), row("a", 20, 60, "squat", [1.0]),
    row("b", 0, 30, "lunge", [1.0]), row("b", 30, 60, "background", [1.0]),
]  # fmt: skip
# middles 8, 28, 48 of a: background, squat, squat; of b: lunge, lunge, background
GIVEN = {"a": ["background", "squat", "lunge"], "b": ["lunge", "lunge", "squat"]}
WINDOWS = [
    row(clip, start, start + 16, label, sure(label), prob=0.7)
    for clip, labels in GIVEN.items()
    for start, label in zip((0, 20, 40), labels, strict=True)
]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The truth, windows and segments in the working directory."""
    monkeypatch.chdir(tmp_path)
    table("truth", TRUTH)
    table("windows", WINDOWS, unit="window", classes=CLASSES, steps=[{"tool": "classify", "version": "9", "args": {}}])
    table(
        "segments", [row("a", 0, 30, "background"), row("a", 30, 60, "squat"), row("b", 0, 40, "lunge")], unit="segment"
    )


def scored(predicted="windows", truth="truth", against="", options=QUICK):
    return score_labels(truth, read_predictions([predicted]), read_predictions([against]) if against else None, options)


def values(scores, group="all"):
    return {row["metric"]: row["value"] for row in scores.rows if row["group"] == group}


def test_golden_windows():
    result = values(scored())
    assert result["accuracy"] == 4 / 6
    # background: tp 1 fn 1; squat: tp 1 fp 1 fn 1; lunge: tp 2 fp 1
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 4 / 5) / 3)
    assert result["top3_accuracy"] == 4 / 6  # in the wrong ones the three others tie
    assert (result["n_classes"], result["n_clips"]) == (3, 2)
    classes = scored(options=LabelScoreOptions(per_class=True, resamples=0))
    assert values(classes, "background")["auc"] == (1 + 1 / 2) / 2  # one above all others, one tied with them
    assert result["macro_auc"] == pytest.approx(
        np.mean([values(classes, name)["auc"] for name in ("background", "lunge", "squat")])
    )


def test_the_truth_of_a_window_is_the_label_at_its_middle_frame():
    table("edge", [row("a", 12, 28, "squat"), row("b", 0, 16, "lunge")], unit="window")  # frame 20 is the first squat
    assert values(scored("edge"))["accuracy"] == 1
    table("edge", [row("a", 11, 27, "squat"), row("b", 0, 16, "lunge")], unit="window")
    assert values(scored("edge"))["accuracy"] == 1 / 2


def test_golden_segments_count_frames_and_gaps_are_background():
    scores = scored("segments")
    result = {row["metric"]: row for row in scores.rows}
    assert result["accuracy"]["n"] == 120
    assert result["accuracy"]["value"] == pytest.approx((20 + 30 + 30 + 20) / 120)
    assert result["macro_auc"]["value"] is None
    assert "frames without a prediction, taken for background: 20" in scores.notes
    assert values(scored("truth"))["accuracy"] == 1  # the truth itself is a prediction of segments


def test_segments_may_have_probabilities():
    rows = [row("a", 0, 30, "background", sure("background")), row("a", 30, 60, "squat", sure("squat")),
            row("b", 0, 40, "lunge", sure("lunge"))]  # fmt: skip
    table("sure", rows, unit="segment", classes=CLASSES)
    result = values(scored("sure"))
    assert result["top3_accuracy"] == pytest.approx(100 / 120)
    assert 0.5 < result["macro_auc"] < 1


def test_a_table_about_one_clip_without_segments_says_background():
    table("truth", TRUTH[:2])
    table("nothing", [], unit="segment", clip="a.mp4")
    assert values(scored("nothing"))["accuracy"] == pytest.approx(20 / 60)
    table("truth", TRUTH)
    table("partly", [row("a", 20, 60, "squat")], unit="segment", clips={"a": {}, "b": {}})
    assert values(scored("partly"))["accuracy"] == pytest.approx((60 + 30) / 120)
    table("nothing", [], unit="window", clips={"a": {}, "b": {}})
    with pytest.raises(DataError, match="has no windows of clip 'a'"):
        scored("nothing")


def test_clips_are_about_the_exercise_that_lasts_longest():
    rows = [row("a", 0, 60, "squat", sure("squat")), row("b", 0, 60, "squat", sure("squat"))]
    table("clips", rows, unit="clip", classes=CLASSES)
    result = values(scored("clips"))
    assert result["accuracy"] == 1 / 2 and result["n_clips"] == 2
    Path("clips.csv").write_text("clip,label\na.mp4,Squats\nb,lunges\n")
    assert values(scored("clips.csv"))["accuracy"] == 1
    assert values(scored("clips.csv", truth="clips.csv"))["macro_f1"] == 1
    table("clips", [*rows, rows[0]], unit="clip", classes=CLASSES)
    with pytest.raises(DataError, match="has 2 labels for clip 'a'; expected one for each clip"):
        scored("clips")


def test_a_truth_in_seconds_needs_the_predictions_times():
    Path("truth.csv").write_text("clip,start,stop,label\na,0.667,2.0,squat\nb,0,1.0,lunge\n")
    for predicted in ("windows", "truth"):
        assert values(scored(predicted, "truth.csv"))["accuracy"] == values(scored(predicted))["accuracy"]
    result = values(scored("segments", "truth.csv"))  # neither side speaks of the last 20 frames of b
    assert result["accuracy"] == pytest.approx((20 + 30 + 30) / 100)
    table("timeless", [{**r, "start_s": None, "stop_s": None} for r in WINDOWS], unit="window", classes=CLASSES)
    with pytest.raises(DataError, match="clip 'a' is labelled in seconds; give its frame times"):
        scored("timeless", "truth.csv")
    table("timeless", [row("a", 0, 9, "squat") | {"start_s": None}, row("b", 0, 9, "lunge")], unit="segment")
    with pytest.raises(DataError, match="the truth has clip 'a' in seconds, and the prediction has no times"):
        scored("timeless", "truth.csv")


def test_no_null_drops_background_truth_and_keeps_background_predictions_as_errors():
    rows = [{**r, "label": "background"} if r["start"] == 40 else r for r in WINDOWS]
    table("windows", rows, unit="window", classes=CLASSES)
    scores = scored(options=LabelScoreOptions(no_null=True, resamples=20))
    result = {row["metric"]: row for row in scores.rows}
    assert (result["accuracy"]["value"], result["accuracy"]["n"]) == (3 / 4, 4)
    assert result["macro_f1"]["value"] == pytest.approx((2 / 3 + 1) / 2)  # squat lost one; background is no class
    assert any("left out 2 that are background" in note and note.endswith("errors: 1") for note in scores.notes)
    assert scores.meta["protocol"] == "no-null"
    table("truth", [row("a", 0, 60, "rest"), row("b", 0, 60, "background")])
    with pytest.raises(DataError, match="'truth' is background throughout"):
        scored(options=LabelScoreOptions(no_null=True))


def test_another_label_may_mean_background():
    table("truth", [{**r, "label": r["label"].replace("background", "standing")} for r in TRUTH])
    result = values(scored(options=LabelScoreOptions(null="Standing", resamples=0)))
    assert (result["accuracy"], result["n_classes"]) == (4 / 6, 3)
    with pytest.raises(UsageError, match="invalid value 'walking' for '--null'"):
        scored(options=LabelScoreOptions(null="walking"))


def test_labels_that_one_side_alone_has_are_said():
    rows = [*WINDOWS[:-1], {**WINDOWS[-1], "label": "plank"}]
    table("windows", rows, unit="window", classes=CLASSES)
    assert any(note == "predicted and never in the truth, errors: 'plank' (1)" for note in scored().notes)
    table(
        "few",
        [row(r["clip"], r["start"], r["stop"], "squat", [1.0]) for r in WINDOWS],
        unit="window",
        classes=["squat"],
    )
    scores = scored("few")
    assert "in the truth and no class of the predictions: 'background', 'lunge'" in scores.notes
    assert values(scores)["macro_auc"] == 0.5


def test_per_class_has_the_classes_of_the_truth_in_their_order():
    scores = scored(options=LabelScoreOptions(per_class=True, resamples=30))
    groups = list(dict.fromkeys(row["group"] for row in scores.rows))
    assert groups == ["all", "background", "lunge", "squat"]
    lunge = {row["metric"]: row for row in scores.rows if row["group"] == "lunge"}
    assert (lunge["precision"]["value"], lunge["recall"]["value"], lunge["recall"]["n"]) == (2 / 3, 1, 2)
    assert lunge["recall"]["low"] is None  # one clip alone has it
    background = next(row for row in scores.rows if row["group"] == "background")
    assert background["low"] is not None


def test_comparing_two_predictions():
    table("other", [{**r, "label": "squat", "probs": sure("squat")} for r in WINDOWS], unit="window", classes=CLASSES)
    scores = scored(against="other")
    result = values(scores, "difference")
    assert result["accuracy"] == pytest.approx(4 / 6 - 2 / 6)
    assert result["macro_auc"] == pytest.approx(values(scores)["macro_auc"] - values(scores, "against")["macro_auc"])
    assert (result["clips_better_first"], result["clips_better_second"], result["clips_p_sign"]) == (1, 0, 1)
    assert 0 < result["accuracy_p_bootstrap"] <= 1
    assert any(note.startswith("'windows' minus 'other': accuracy +0.333") for note in scores.notes)
    with pytest.raises(DataError, match="'windows' holds windows, and 'segments' segments; compare like with like"):
        scored(against="segments")


def test_a_split_of_the_truth():
    rows = [{"clip": c, "split": s, "video": f"{c}.mp4"} for c, s in (("a", "train"), ("b", "test"))]
    table("manifest.parquet", rows, "racctl.manifest/1")
    table("labels.parquet", TRUTH)
    table("test", WINDOWS[3:], unit="window", classes=CLASSES)
    assert values(scored("test", ".", options=LabelScoreOptions(split="test", resamples=0)))["accuracy"] == 2 / 3
    with pytest.raises(DataError, match=r"no clips in the split 'val' \(its splits: 'test', 'train'\)"):
        scored("test", ".", options=LabelScoreOptions(split="val"))
    with pytest.raises(DataError, match=r"'test' lacks 1 clip \('a'\) of the 2 in '.'"):
        scored("test", ".")


def test_several_files_are_one_table_and_their_order_does_not_matter():
    for name, rows in (("one", WINDOWS[3:]), ("two", WINDOWS[:3])):
        table(name, rows, unit="window", classes=CLASSES)
    joined = score_labels("truth", read_predictions(["one", "two"]), None, QUICK)
    assert joined.rows == scored().rows
    table("two", WINDOWS[:3], unit="window", classes=CLASSES[::-1])
    with pytest.raises(DataError, match="'two' has other classes than 'one'"):
        read_predictions(["one", "two"])
    with pytest.raises(DataError, match="'segments' has other unit than 'one'"):
        read_predictions(["one", "segments"])
    Path("counts").write_text("clip,count\na,1\n")
    with pytest.raises(DataError, match="'counts' holds counts, the files before it labels; score them apart"):
        read_predictions(["one", "counts"])
    with pytest.raises(DataError, match="'one' holds labels, the files before it counts"):
        read_predictions(["counts", "one"])


@pytest.mark.parametrize(
    ("rows", "meta", "message"),
    [
        (WINDOWS[:3], {}, r"lacks 1 clip \('b'\) of the 2 in 'truth'"),
        ([*WINDOWS, row("z", 0, 9, "squat", sure("squat"))], {}, r"has 1 clip \('z'\) that 'truth' lacks"),
        ([row("a", 9, 9, "squat", sure("squat"))], {}, "row 0, does not stop after its start"),
        ([row("a", -1, 9, "squat", sure("squat"))], {}, "row 0, starts below frame 0"),
        ([row("a", 0, 9, None, sure("squat"))], {}, "row 0, has no label"),
        ([row("a", 0, 9, "squat", [0.5, 0.5])], {}, "row 0, has 2 probabilities for 4 classes"),
        ([row("a", 0, 9, "squat", [math.nan, 0, 0, 1])], {}, "row 0, has a probability that is not within"),
        ([row("a", 0, 9, "squat", [2.0, 0, 0, 0])], {}, "row 0, has a probability that is not within"),
        (WINDOWS, {"classes": "squat"}, "'classes' is not a list of names"),
        (WINDOWS, {"classes": ["squat", "squats", "x", "y"]}, "two of the same"),
        (WINDOWS, {"unit": "frame"}, "has the unit 'frame'; expected one of window, segment, clip"),
        ([row("a", 0, 9, "x"), row("a", 5, 12, "y"), row("b", 0, 9, "x")], {"unit": "segment"}, "overlap at frame 5"),
        ([], {}, "lacks 2 clips"),
    ],
)
def test_unsound_predictions_are_refused(rows, meta, message):
    table("bad", rows, **{"unit": "window", "classes": CLASSES, **meta})
    with pytest.raises(DataError, match=message) as caught:
        scored("bad")
    assert "\n" not in str(caught.value)


def test_counts_and_labels_are_not_taken_for_each_other():
    Path("counts").write_text("clip,count\na,1\nb,2\n")
    with pytest.raises(DataError, match="'windows' holds labels, expected counts"):
        score_files("counts", ["windows"])
    with pytest.raises(DataError, match="'counts' holds counts, expected labels"):
        scored(against="counts")
    with pytest.raises(DataError, match="'counts' has no label column"):
        scored(truth="counts")
    Path("labelled").write_text("clip,count,label\na,1,squat\nb,2,lunge\n")
    assert read_predictions(["labelled"]).labels is None


def test_csv_predictions_as_racctl_writes_them():
    assert racctl(["score", "--truth", "truth", "segments", "-o", "s.csv", "--resamples", "0"]) == 0
    Path("p.csv").write_text("clip,start,stop,start_s,stop_s,label\na,30,60,1,2,squat\nb,0,40,0,1.333,lunge\n")
    assert values(scored("p.csv"))["accuracy"] == pytest.approx(100 / 120)
    Path("p.csv").write_text("clip,start,stop,label\na,1,2,squat\n")
    with pytest.raises(DataError, match="has clip 'a' in seconds alone"):
        scored("p.csv")


# ---- the picture


def test_the_confusion_matrix_and_its_picture():
    counts, rows, columns = confusion(scored().items)
    assert (rows, columns) == (["background", "lunge", "squat"],) * 2
    assert counts.tolist() == [[1, 0, 1], [0, 2, 0], [0, 1, 1]]
    words = ["score", "--truth", "truth", "windows", "-o", "s.parquet", "--resamples", "0", "--confusion"]
    assert racctl([*words, "c.png"]) == racctl([*words, "c.svg"]) == racctl([*words, "again.svg"]) == 0
    assert np.array(Image.open("c.png").convert("L")).std() > 5
    text = Path("c.svg").read_text()
    assert "truth" in text and "squat" in text and Path("again.svg").read_text() == text


# ---- the tool


def test_the_tool_writes_parquet_that_says_where_it_came_from():
    words = ["score", "--truth", "truth", "windows", "--resamples", "20", "-o"]
    assert racctl([*words, "s.parquet"]) == racctl([*words, "again.parquet"]) == 0
    with open("s.parquet", "rb") as file:
        meta, results = read_table(file, "s.parquet")
    assert (meta["unit"], meta["n"], meta["n_clips"], meta["protocol"]) == ("window", 6, 2, "with-null")
    assert [entry["tool"] for entry in meta["steps"]] == ["classify", "score"]
    assert results.num_rows == 6 and Path("s.parquet").read_bytes() == Path("again.parquet").read_bytes()


def test_the_tool_reads_labels_from_stdin_and_says_what_it_did(capsysbinary, monkeypatch):
    with open("windows", "rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        assert racctl(["score", "--truth", "truth", "--format", "csv", "--resamples", "9"]) == 0
    out, err = capsysbinary.readouterr()
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert rows[0]["metric"] == "accuracy" and float(rows[0]["value"]) == pytest.approx(4 / 6)
    assert b"resampl" in err and b"over clips (not over the items" in err
    racctl(["score", "--truth", "truth", "windows", "--format", "json", "-q"])
    out, err = capsysbinary.readouterr()
    assert json.loads(out)[0]["n"] == 6 and err == b""


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["windows", "--round"], 2, "'--round' is for counts, and the predictions are labels; leave it out"),
        (["windows", "--no-round"], 2, "'--round' is for counts"),
        (["windows", "--exclude-known-bad"], 2, "'--exclude-known-bad' is for counts"),
        (["counts", "--no-null"], 2, "'--no-null' is for labels, and the predictions are counts"),
        (["counts", "--confusion", "c.png"], 2, "'--confusion' is for labels"),
        (["counts", "--split", "test"], 2, "'--split' is for labels"),
        (
            ["windows", "--confusion", "c.txt"],
            2,
            "'c.txt' is not a file name for a confusion matrix; end it in .png or .svg",
        ),
        (["windows", "--confusion", "windows"], 2, "'windows' is the input itself"),
        (["windows", "--against", "missing"], 1, "'missing' does not exist"),
        (["counts"], 1, "holds racctl.labels/1, expected counts"),
        (["-", "--against", "-"], 2, "stdin ('-') can be only one of"),
    ],
)
def test_the_tool_fails_in_one_line(capsys, args, code, message):
    Path("counts").write_text("clip,count\na,1\nb,2\n")
    assert racctl(["score", "--truth", "truth", *args]) == code
    out, err = capsys.readouterr()
    assert err.startswith("racctl score: ") and message in err and err.count("\n") == 1 and out == ""


def test_unknown_costs_accuracy_and_is_left_out_of_the_accuracy_of_what_is_answered():
    rows = [{**line, "label": "unknown"} if k in (1, 5) else line for k, line in enumerate(WINDOWS)]
    table("careful", rows, unit="window", classes=CLASSES)
    scores = scored("careful")
    result = values(scores)
    assert result["accuracy"] == 3 / 6 and result["coverage"] == pytest.approx(4 / 6)
    assert result["accuracy_answered"] == pytest.approx(3 / 4)
    low, high = next((row["low"], row["high"]) for row in scores.rows if row["metric"] == "coverage")
    assert low <= 4 / 6 <= high
    assert "predicted 'unknown', errors in every metric but accuracy_answered: 2 of 6" in scores.notes
    assert "coverage" not in values(scored()) and not [note for note in scored().notes if "unknown" in note]


def test_unknown_for_what_the_predictions_do_not_know_is_said():
    table("strange", [*TRUTH[:2], row("b", 0, 60, "juggling", [1.0])])
    rows = [{**line, "label": "unknown"} if line["clip"] == "b" else line for line in WINDOWS]
    table("careful", rows, unit="window", classes=CLASSES)
    scores = scored("careful", truth="strange")
    assert "of what is no class of the predictions, 'unknown': 3 of 3" in scores.notes
    table("silent", [{**line, "label": "unknown"} for line in WINDOWS], unit="window", classes=CLASSES)
    result = values(scored("silent"))
    assert result["coverage"] == 0 and math.isnan(result["accuracy_answered"] or math.nan)
