"""To add one of a kind is to add one file: each kind gets a member from a package of its own, and uses it."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import plain, write_clip
from commands import afresh, one_line
from plugins import documented, install
from poses import swinging_pose

from racctl.io.npz import read_features, read_mask, read_pose, write_pose


def shown_help(tool: str, environment: dict[str, str]) -> str:
    """Return a tool's help, on lines long enough for any metavar."""
    done = afresh(tool, "--help", env={**environment, "COLUMNS": "300"})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def succeed(*words: object, environment: dict[str, str], **options) -> bytes:
    """Run a command that has to succeed; return what it writes to stdout."""
    done = afresh(*words, env=environment, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


KICK = '"""An exercise: the front kick."""'


def test_an_exercise_is_one_file(tmp_path):
    pytest.importorskip("anny", reason="the clip is drawn; needs racctl[synth]")
    environment = install(tmp_path, "kicks", documented(KICK), "racctl.exercises", front_kick="FRONT_KICK")
    assert "|front_kick" in shown_help("synth", environment)
    assert b"\nfront_kick " in succeed("synth", "--list", environment=environment)
    drawn = ["--clips", 1, "--pose-only", "--clean", "--reps", "2-2", "--fps", 10, "--jobs", 1]
    succeed("synth", "--out", tmp_path / "look", "--classes", "front_kick", *drawn, environment=environment)
    (row,) = pq.read_table(tmp_path / "look" / "manifest.parquet").to_pylist()
    assert (row["label"], row["count"]) == ("front_kick", 2)


def test_an_entry_point_that_is_no_exercise_is_named(tmp_path):
    environment = install(tmp_path, "kicks", "FRONT_KICK = (1, 2)", "racctl.exercises", front_kick="FRONT_KICK")
    line = one_line(afresh("synth", "--list", env=environment), 2)
    assert "'front_kick' (kicks:FRONT_KICK) is no racctl.synth.movement.Movement" in line


GYM_PAD = '"""A pose format:'


def test_a_pose_format_is_one_file(tmp_path):
    environment = install(tmp_path, "pads", documented(GYM_PAD), "racctl.pose_formats", gympad="GYM_PAD")
    assert "|gympad" in shown_help("remap-joints", environment)
    rows = [[100.0 + 3 * joint + frame for joint in range(34)] for frame in range(5)]
    (tmp_path / "clip.txt").write_text("#gympad\n" + "\n".join(" ".join(map(str, row)) for row in rows))
    command = ["remap-joints", tmp_path / "clip.txt", "--to", "coco17", "--fps", 10]
    told = succeed(*command, environment=environment)
    assert succeed(*command, "--from", "gympad", environment=environment) == told
    with io.BytesIO(told) as file:
        pose = read_pose(file, "clip")
    assert pose.xyz.shape == (5, 1, 17, 3)
    assert pose.xyz[2, 0, 16, :2].tolist() == [rows[2][32], rows[2][33]]
    assert b"GYM_PAD" not in told and b'"format":"gympad"' in told.replace(b" ", b"")
    line = one_line(afresh(*command[:2]), 1)
    assert "expected" in line


def test_a_pose_format_that_cannot_be_loaded_leaves_the_others(tmp_path):
    environment = install(tmp_path, "pads", "import nothing_of_that_name", "racctl.pose_formats", gympad="GYM_PAD")
    with open(tmp_path / "clip.npy", "wb") as file:
        np.save(file, np.zeros((5, 33, 3)))
    done = afresh("remap-joints", tmp_path / "clip.npy", "--fps", 10, env=environment)
    assert done.returncode == 0 and b"'gympad' (pads:GYM_PAD) cannot be loaded" in done.stderr


GYM_APP = '"""A data set:'
ROWS = "file,move,reps,L1,L2,L3,L4\nmonday.mp4,Squats,2,2,10,11,19\ntuesday.mp4,Push Ups,3,0,8,8,16\n"


def test_a_data_set_is_one_file(tmp_path):
    environment = install(tmp_path, "gym", documented(GYM_APP), "racctl.data_sets", gymapp="GymApp")
    assert "|gymapp" in shown_help("encode", environment)
    (tmp_path / "test.csv").write_text(ROWS)
    checked = afresh("check-labels", tmp_path / "test.csv", "--format", "json", env=environment)
    assert checked.returncode == 1 and b"count 3, cycles 2" in checked.stdout + checked.stderr
    write_clip(tmp_path / "monday.mp4", plain(24))
    words = ["--root", tmp_path, "--split", "test", "--exemplars", "--pose-encoder", "none", "--random-weights"]
    command = ["encode", "--dataset", "gymapp", *words, "--encoder", "resnext3d_101", "--jobs", 1]
    done = afresh(*command, "-o", tmp_path / "tokens/", env=environment)
    assert done.returncode == 3 and b"GymApp, test: 2 clips" in done.stderr, done.stderr.decode()
    with open(tmp_path / "tokens" / "monday.exemplars.npz", "rb") as file:
        assert read_features(file, "monday").start.tolist() == [2, 11]


def test_a_data_set_that_cannot_be_loaded_leaves_the_others(tmp_path):
    environment = install(tmp_path, "gym", "import nothing_of_that_name", "racctl.data_sets", gymapp="GymApp")
    (tmp_path / "counts.csv").write_text("clip,count\na,2\n")
    done = afresh("check-labels", tmp_path / "counts.csv", env=environment)
    assert done.returncode == 0 and b"'gymapp' (gym:GymApp) cannot be loaded" in done.stderr


CENTRE = '"""A pose model: whoever wears a lamp'


def test_a_pose_estimator_is_one_file(tmp_path):
    environment = install(tmp_path, "bright", documented(CENTRE), "racctl.pose_estimators", brightest="Brightest")
    for tool in ("pose", "count", "encode"):
        assert "|brightest|FILE.task" in shown_help(tool, environment)
    lit = np.zeros((6, 48, 64, 3), np.uint8)
    lit[:, 20:24, 40:44] = 255
    clip = write_clip(tmp_path / "clip.mp4", lit)
    told = succeed("pose", clip, "--model", "brightest", "--jobs", 1, environment=environment)
    pose = read_pose(io.BytesIO(told), "clip")
    assert pose.xyz.shape == (6, 1, 17, 3) and pose.meta["topology"] == "coco17"
    assert np.abs(pose.xyz[:, 0, 0, :2] - [42, 22]).max() < 2
    assert pose.meta["steps"][0]["weights"] == [{"name": "brightest", "sha256": "", "licence": "MIT"}]
    line = one_line(afresh("pose", clip, "--model", "brightest"), 2)
    assert "invalid value 'brightest' for '--model'; expected full, lite, heavy, " in line


BRIGHTEST_OF_CLIP = '"""A pose model: whoever wears the brightest'


def test_a_pose_estimator_that_looks_at_the_whole_clip_is_one_file(tmp_path):
    point = {"brightest-of-clip": "BrightestOfClip"}
    environment = install(tmp_path, "lamps", documented(BRIGHTEST_OF_CLIP), "racctl.pose_estimators", **point)
    assert "|brightest-of-clip|FILE.task" in shown_help("pose", environment)
    lit = np.zeros((6, 48, 64, 3), np.uint8)
    lit[:, 30:34, 10:14] = 100  # taken for the nose where nothing is brighter, by a model of single frames
    lit[3:, 20:24, 40:44] = 255
    clip = write_clip(tmp_path / "clip.mp4", lit, rotation=180)
    command = ["pose", clip, "--model", "brightest-of-clip", "--people", 2, "--jobs", 1]
    pose = read_pose(io.BytesIO(succeed(*command, environment=environment)), "clip")
    assert pose.xyz.shape == (6, 1, 17, 3)
    assert pose.score[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert np.abs(pose.xyz[3:, 0, 0, :2] - [63 - 42, 47 - 22]).max() < 2
    assert pose.meta["steps"][0]["weights"][0]["name"] == "brightest-of-clip"


WHOLE_CLIP_MASK = """
import numpy as np
from racctl.estimators.silhouettes import pack
class Still:
    tells_apart = False
    has_threshold = False
    def __init__(self, name, download): pass
    @classmethod
    def claims(cls, path): return False
    def record(self): return {"name": "still", "sha256": "", "licence": "MIT"}
    def open(self, size, threshold, jobs): return StillMasks(size)
class StillMasks:
    def __init__(self, size): self.size = size
    def __enter__(self): return self
    def __exit__(self, *exc): pass
    def abort(self): pass
    def run(self, clip, report):
        count = sum(1 for _ in clip.frames)
        parcels = np.empty(count, object)
        parcels[:] = [pack(np.ones((1, *self.size), bool))] * count
        return parcels
"""


def test_a_mask_estimator_that_looks_at_the_whole_clip_is_one_file(tmp_path):
    environment = install(tmp_path, "still", WHOLE_CLIP_MASK, "racctl.mask_estimators", still="Still")
    clip = write_clip(tmp_path / "clip.mp4", plain(5))
    told = succeed("mask", clip, "--model", "still", "--size", "20x10", "--jobs", 1, environment=environment)
    mask = read_mask(io.BytesIO(told), "clip").mask
    assert mask.shape == (5, 10, 20) and mask.all()


BRIGHT = '"""A mask model:'


def test_a_mask_estimator_is_one_file(tmp_path):
    environment = install(tmp_path, "bright", documented(BRIGHT), "racctl.mask_estimators", bright="Bright")
    for tool in ("mask", "encode", "classify"):
        assert "|bright|FILE" in shown_help(tool, environment)
    lit = np.zeros((6, 48, 64, 3), np.uint8)
    lit[:, 20:28, 40:48] = 255
    clip = write_clip(tmp_path / "clip.mp4", lit)
    told = succeed("mask", clip, "--model", "bright", "--size", "full", "--jobs", 1, environment=environment)
    mask = read_mask(io.BytesIO(told), "clip").mask
    assert mask[0, 24, 44] == 1 and 0.5 < mask.sum() / (6 * 64) < 1.5
    done = afresh("mask", clip, "--model", "bright", "--person", "central", env=environment)
    assert "'bright' follows one person of its own choice" in one_line(done, 2)


PLAIN_CONV = '"""A video encoder:'


def test_a_video_encoder_is_one_file(tmp_path):
    environment = install(tmp_path, "conv", documented(PLAIN_CONV), "racctl.video_encoders", plainconv="PlainConv")
    assert "|plainconv|none" in shown_help("encode", environment)
    clip = write_clip(tmp_path / "clip.mp4", plain(24))
    command = ["encode", clip, "--encoder", "plainconv", "--pose-encoder", "none", "--random-weights", "--jobs", 1]
    features = read_features(io.BytesIO(succeed(*command, environment=environment)), "clip")
    assert features.video.shape == (2, 8, 4, 4, 4) and features.meta["video"]["encoder"] == "plainconv"
    for words, reason in (
        (["--preset", "escounts"], "'--encoder plainconv' has no option '--preset'"),
        (["--mask", clip], "'plainconv' looks at no mask; leave out '--mask'"),
        (["--mask-model", "selfie"], "'plainconv' looks at no mask"),
    ):
        assert reason in one_line(afresh(*command, *words, env=environment), 2)


PLACES = '"""A pose encoder:'


def test_a_pose_encoder_is_one_file(tmp_path):
    environment = install(tmp_path, "places", documented(PLACES), "racctl.pose_encoders", places="open_places")
    assert "|places|none" in shown_help("encode", environment)
    with open(tmp_path / "p.npz", "wb") as file:
        write_pose(file, swinging_pose(90))
    command = ["encode", tmp_path / "p.npz", "--encoder", "none", "--pose-encoder", "places"]
    features = read_features(io.BytesIO(succeed(*command, environment=environment)), "p")
    assert features.pose.shape[1:] == (4, 16, 17, 1) and features.meta["pose"]["sampled"] == 64
    assert features.meta["pose"]["frames_per_token"] == 4


GLANCE = '"""A recogniser:'


def test_a_recogniser_is_one_file(tmp_path):
    environment = install(tmp_path, "glance", documented(GLANCE), "racctl.recognisers", glance="Glance")
    text = afresh("train", "recogniser", "--help", env={**environment, "COLUMNS": "300"}).stdout.decode()
    assert "|glance" in text and "tcn, transformer, vivit, glance" in text  # the heading above --layers
    (tmp_path / "set").mkdir()
    for name in ("a", "b", "c"):
        clip = write_clip(tmp_path / "set" / f"{name}.mp4", plain(40))
    rows = ["clip,start,stop,label,split", "a,0,1.5,squat,train", "b,0,1.5,push_up,train", "c,0,1.5,squat,val"]
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows))
    sizes = ["--input", "raw", "--size", 16, "--window", 8, "--layers", 2, "--epochs", 1]
    command = ["train", "recogniser", tmp_path / "set", "--model", "glance", *sizes, "-o", tmp_path / "run"]
    succeed(*command, environment=environment)
    trained = tmp_path / "run" / "model.safetensors"
    table = succeed("classify", clip, "--model", trained, "--whole", "--format", "csv", environment=environment)
    assert table.decode().splitlines()[1].startswith("c,")
    assert "a model of kind 'glance'" in one_line(afresh("classify", clip, "--model", trained), 1)
    words = ["train", "recogniser", tmp_path / "set", "--model", "mlp", "--layers", 2, "-o", tmp_path / "other"]
    refusal = one_line(afresh(*words, env=environment), 2)
    assert "'--model mlp' has no option '--layers'" in refusal and "glance" in refusal
