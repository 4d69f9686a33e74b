"""The published annotation files themselves: what they add up to, where two publications of one set agree."""

import csv
import math
import os
from collections import Counter
from pathlib import Path

import pytest

from racctl.data.base import DATA_SETS
from racctl.data.check import check_labels
from racctl.data.clips import PROBLEM_KINDS
from racctl.data.known_bad import KNOWN_BAD
from racctl.data.truth import read_truth
from racctl.errors import DataError

ROOT = Path(os.environ.get("RACCTL_TEST_DATA", "")).resolve() / "annotations"
real = pytest.mark.skipif(
    "RACCTL_TEST_DATA" not in os.environ or not ROOT.is_dir(),
    reason="RACCTL_TEST_DATA does not point at a folder with annotations/",
)


def by_clip(*parts):
    clips = read_truth(str(ROOT.joinpath(*parts)))
    result = {clip.clip: clip for clip in clips}
    assert len(result) == len(clips)
    return result


def total(clips):
    return sum(clip.count for clip in clips.values() if not math.isnan(clip.count))


@real
@pytest.mark.parametrize(
    ("split", "n", "repetitions", "odd"),
    [
        ("test", 152, 2466, {"stu4_5"}),
        ("valid", 131, 1994, set()),
        ("train", 758, 11129, {"stu6_5", "stu4_3", "test118", "stu6_44"}),
    ],
)
def test_repcount_of_escounts_and_detrc_agree(split, n, repetitions, odd):
    ours = by_clip("escounts", "repcount", f"{split}_with_fps.csv")
    theirs = by_clip("detrc", f"{split}_new.csv")
    assert (len(ours), total(ours)) == (n, repetitions)
    assert {name for name, clip in ours.items() if clip.problems} == odd
    assert ours.keys() == theirs.keys()
    for name, clip in ours.items():
        assert clip.count == pytest.approx(theirs[name].count, nan_ok=True)
        assert (clip.label, clip.cycles.tolist()) == (theirs[name].label, theirs[name].cycles.tolist())
    assert len({clip.label for clip in ours.values()}) <= 10
    assert odd <= KNOWN_BAD.keys()


@real
def test_the_open_set_split_of_transrac_has_the_same_counts():
    everything = {}
    for split in ("train", "valid", "test"):
        everything |= by_clip("escounts", "repcount", f"{split}_with_fps.csv")
    opened = {}
    for split in ("train", "valid", "test"):
        opened |= by_clip("transrac_openset", f"new_{split}.csv")
    assert len(everything) == 1041 and len(opened) == 1024
    assert all(clip.count == everything[name].count for name, clip in opened.items())
    assert all(clip.cycles.tolist() == everything[name].cycles.tolist() for name, clip in opened.items())


@real
def test_what_d2stx_took_out_of_repcount():
    gone = {}
    for split in ("train", "valid", "test"):
        whole = by_clip("escounts", "repcount", f"{split}_with_fps.csv")
        remaining = by_clip("d2stx", "repcount_new", f"{split}_with_fps_new.csv")
        gone[split] = whole.keys() - remaining.keys()
        assert all(clip.count == whole[name].count for name, clip in remaining.items())
    assert gone["test"] == {"stu4_5", "train143"}
    assert gone["valid"] == {"stu1_34", "stu9_67"}
    assert gone["train"] == {"stu6_44", "stu4_39", "stu13_4", "stu4_3"}


@real
def test_known_bad_clips_are_clips_of_the_data_sets():
    names = set()
    for split in ("train", "valid", "test"):
        names |= by_clip("escounts", "repcount", f"{split}_with_fps.csv").keys()
    names |= {clip.clip for clip in read_truth(str(ROOT / "escounts/countix/new_val.csv"))}
    assert names >= KNOWN_BAD.keys()


@real
@pytest.mark.parametrize(
    ("split", "folder", "n", "repetitions"), [("train", "train", 421, 2776), ("val", "val", 105, 730)]
)
def test_ucfrep_of_escounts_and_its_authors_agree(split, folder, n, repetitions):
    ours = by_clip("escounts", "ucf-rep", f"new_{split}.csv")
    theirs = by_clip("ucfrep_original", "annotations", folder)
    assert (len(ours), total(ours)) == (n, repetitions)
    assert ours.keys() == theirs.keys()
    for name, clip in ours.items():
        another = theirs[name]
        assert (clip.count, clip.segment, clip.label) == (another.count, another.segment, another.label)
        assert clip.cycles.tolist() == another.cycles.tolist() and not clip.problems


@real
@pytest.mark.parametrize(("split", "rows", "clips"), [("train", 4277, 4237), ("val", 1406, 1384), ("test", 2453, 2441)])
def test_countix_repeats_rows(split, rows, clips):
    path = ROOT / "escounts" / "countix" / f"new_{split}.csv"
    assert path.read_text().count("\n") == rows + 1
    result = read_truth(str(path))
    assert len(result) == clips
    twice = {clip.clip for clip in result if sum(c.clip == clip.clip for c in result if c.clip[0] == clip.clip[0]) > 1}
    assert twice == ({"eovgxTEV-sE_0.00000_10.00000", "kc67o7DINtg_0.00000_9.95324"} if split == "val" else set())


@real
def test_countix_av_uses_the_names_and_counts_of_countix():
    for split in ("train", "val", "test"):
        whole = {
            (clip.clip, clip.count) for clip in read_truth(str(ROOT / "escounts" / "countix" / f"new_{split}.csv"))
        }
        audible = {(clip.clip, clip.count) for clip in read_truth(str(ROOT / "countix_av" / f"CountixAV_{split}.csv"))}
        assert len(audible & whole) / len(audible) > 0.9  # the others were no longer on YouTube
        shared = {name for name, _ in whole}
        assert {pair for pair in audible if pair[0] in shared} <= whole


@real
def test_every_table_is_read_or_refused_in_one_line():
    refused = []
    for path in sorted(ROOT.rglob("*.csv")):
        try:
            assert read_truth(str(path))
        except DataError as error:
            refused.append(str(path.relative_to(ROOT)))
            assert "\n" not in str(error)
    assert refused == [
        "countix_fitness_pose/annotation_pose/train.csv",  # landmarks of single frames
        "d2stx/countix/new_test.csv", "d2stx/countix/new_train.csv", "d2stx/countix/new_val.csv",  # names lost
        "poserac/all_action.csv",  # names of classes
    ]  # fmt: skip


@real
@pytest.mark.parametrize(
    ("kind", "folder", "split", "n", "excluded"),
    [
        ("repcount", "escounts/repcount", "train", 758, 7), ("repcount", "escounts/repcount", "val", 131, 1),
        ("repcount", "escounts/repcount", "test", 152, 3), ("repcount", "detrc", "validation", 131, 1),
        ("repcount", "d2stx/repcount", "test", 151, 3), ("repcount", "d2stx/repcount_new", "valid", 129, 0),
        ("countix", "escounts/countix", "train", 4237, 0), ("countix", "escounts/countix", "val", 1384, 4),
        ("countix", "escounts/countix", "test", 2441, 0), ("countix", "countix_av", "val", 309, 0),
        ("countix", "d2stx/countix_new", "valid", 856, 0),
        ("ucfrep", "escounts/ucf-rep", "train", 421, 0), ("ucfrep", "escounts/ucf-rep", "test", 105, 0),
        ("ucfrep", "d2stx/ucf-rep_0728", "val", 96, 0), ("ucfrep", "ucfrep_original", "train", 421, 0),
        ("ucfrep", "ucfrep_original", "test", 105, 0), ("ucfrep", "ucfrep_original/annotations/val", "val", 105, 0),
    ],
)  # fmt: skip
def test_every_published_split_is_found_and_every_row_comes_back(kind, folder, split, n, excluded):
    dataset = DATA_SETS.load(kind)(ROOT / folder, split)
    clips = list(dataset)
    assert len(clips) == len(dataset) == n
    assert not any(clip.usable for clip in clips)  # no videos here
    assert all(clip.problems[-1].kind == "missing video" for clip in clips)
    assert {problem.kind for clip in clips for problem in clip.problems} <= set(PROBLEM_KINDS)
    assert len(dataset) - len(DATA_SETS.load(kind)(ROOT / folder, split, exclude_known_bad=True)) == excluded


@real
def test_the_spellings_of_repcount_are_ten_exercises():
    raw, labels = set(), set()
    for folder, splits in (("escounts/repcount", 3), ("detrc", 3), ("d2stx/repcount", 3), ("d2stx/repcount_new", 4)):
        paths = sorted((ROOT / folder).glob("*.csv"))
        assert len(paths) == splits
        for path in paths:
            with path.open(encoding="utf-8-sig") as file:
                raw |= {row["type"] for row in csv.DictReader(file)}
            labels |= {clip.label for clip in read_truth(str(path))}
    assert len(raw) == 16
    assert labels == {
        "battle_rope", "bench_pressing", "front_raise", "jump_jack", "others", "pommel_horse", "pull_up", "push_up",
        "sit_up", "squat",
    }  # fmt: skip


@real
@pytest.mark.parametrize(
    ("path", "rows", "sound", "kinds"),
    [
        ("escounts/repcount/test_with_fps.csv", 152, 149, {"known wrong label": 3, "zero-length": 1}),
        ("detrc/train_new.csv", 758, 751, {
            "known wrong label": 7, "zero-length": 2, "past the end": 1, "no count": 1, "disagrees with its count": 1,
        }),
        ("escounts/countix/new_train.csv", 4277, 4193, {"duplicate row": 38, "zero-length": 6}),
        ("escounts/countix/new_val.csv", 1406, 1362, {
            "duplicate row": 22, "several counts": 4, "known wrong label": 4,
        }),
        ("countix_av/CountixAV_test.csv", 561, 555, {"duplicate row": 3}),
        ("countix_fitness_pose/annotation/pose_train.csv", 388, 354, {
            "incomplete": 29, "backwards": 4, "several counts": 2,
        }),
        ("ucfrep_original/annotations", 526, 526, {}),
    ],
)  # fmt: skip
def test_what_check_labels_finds_in_published_files(path, rows, sound, kinds):
    check = check_labels(str(ROOT / path))
    assert (check.rows, check.sound) == (rows, sound)
    assert Counter(row["kind"] for row in check.problems) == kinds
