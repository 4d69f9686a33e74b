"""racctl count --model d2stx: tokens to a density, the density to repetitions, and the command from end to end."""

from __future__ import annotations

import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from clips import bouncing, write_clip
from commands import one_line, racctl
from poses import swinging_pose

from racctl.counters import reader
from racctl.counters.base import open_counter
from racctl.counters.d2stx import D2STXSettings, seconds_range
from racctl.counters.reader import (
    CHUNK_TOKENS,
    SHARED_TOKENS,
    DensityReader,
    TokenDensities,
    calibrated,
    chunks,
    clearest,
    exemplars,
)
from racctl.density import density, repetitions
from racctl.encoders.base import EncodeOptions
from racctl.encoders.encode_clip import encode_clip
from racctl.encoders.pair import Encoders, load_encoders
from racctl.encoders.tokens import Tokens
from racctl.errors import DataError, UsageError
from racctl.estimators.open_clip import open_pose
from racctl.io.checkpoint import write_model
from racctl.io.npz import pose_bytes
from racctl.io.poses.formats import load_pose
from racctl.models.catalog import as_dict
from racctl.models.d2stx import D2STX, SMALL_D2STX

CPU = torch.device("cpu")


def evenly(count: int, tokens: int = 64, others: int = 0) -> np.ndarray:
    """Repetitions one after the other, then a rest, as borders in tokens."""
    return np.stack([np.arange(count), np.arange(count) + 1.0], axis=1) * (tokens - others) / max(count, 1)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("others", [0, 20])
def test_a_density_goes_back_to_its_repetitions(count, others):
    cycles, edges = evenly(count, others=others), np.arange(65.0)
    result = repetitions(density(cycles, edges, 1.0), edges)
    assert result.shape == (count, 2)
    assert (result[:, 1] > result[:, 0]).all() and (result[1:, 0] >= result[:-1, 1] - 1e-9).all()
    if count > 1:
        assert np.abs(result.mean(1) - cycles.mean(1)).max() < 1
        assert np.abs(result - cycles).max() < 1.5
    if count == 1:
        assert abs(result.mean() - cycles.mean()) < 0.5


def test_a_rest_belongs_to_no_repetition():
    cycles = np.array([[0, 10], [10, 20], [60, 70], [70, 80]])
    result = repetitions(density(cycles, np.arange(81.0), 1.0), np.arange(81.0))
    assert result[1, 1] < 25 and result[2, 0] > 55


def test_what_is_below_zero_is_nothing_and_a_count_may_be_given():
    edges, curve = np.arange(11.0), np.full(10, -0.5)
    assert repetitions(curve, edges).shape == (0, 2)
    curve[2:6] = 0.25
    assert repetitions(curve, edges).shape == (1, 2)
    assert repetitions(curve, edges, 3).shape == (3, 2)
    assert repetitions(curve, edges, 3) == pytest.approx(np.array([[2, 3.33], [3.33, 4.67], [4.67, 6]]), abs=0.01)


@pytest.mark.parametrize("n", [1, CHUNK_TOKENS - 1, CHUNK_TOKENS, CHUNK_TOKENS + 1, 2 * CHUNK_TOKENS, 1000, 5000])
def test_chunks_cover_every_token_once_and_away_from_their_ends(n):
    result = chunks(n)
    assert np.concatenate([np.arange(remaining.start, remaining.stop) for _, remaining in result]).tolist() == list(
        range(n)
    )
    for part, remaining in result:
        assert part.start <= remaining.start < remaining.stop <= part.stop and part.stop - part.start <= CHUNK_TOKENS
        assert part.start in (0, remaining.start) or remaining.start - part.start >= SHARED_TOKENS // 2
        assert part.stop == n or part.stop - remaining.stop >= SHARED_TOKENS // 2 - 1


def test_exemplars_are_the_tokens_of_their_seconds():
    tokens = Tokens(None, None, np.arange(41) * 4.0, np.arange(41) * 4 / 30)
    (rows,) = exemplars(tokens, [(1.0, 2.0)])
    assert rows.tolist() == [8, 10, 12, 14]
    with pytest.raises(UsageError, match=r"'--exemplar 5-7' is not within the clip, 0.00 to 5.33 s"):
        exemplars(tokens, [(5.0, 7.0)])
    result = TokenDensities(density(evenly(4, 40), np.arange(41.0), 1.0), {})
    assert result.count == 4 and len(clearest(result, tokens, 2)) == 2
    assert clearest(TokenDensities(np.zeros(40), {}), tokens, 2) == []


def test_the_interval_holds_what_each_branch_says_and_no_guide():
    alone = {"pose": np.full(10, 0.5), "video": np.full(10, -0.1), "fused by pose": np.full(10, 2.0)}
    result = TokenDensities(np.full(10, 0.31), alone)
    assert result.count == 3 and result.interval == (0, 5)


def test_what_is_shown_as_one_repetition_counts_one():
    tokens = Tokens(None, None, np.arange(41.0) * 8, np.arange(41.0) / 4)
    half = TokenDensities(0.6 * density(evenly(8, 40), np.arange(41.0), 1.0), {"pose": np.full(40, 0.1)})
    assert half.count == 5
    shown = calibrated(half, tokens, [(1.25, 2.5), (5.0, 6.25)])
    assert shown.count == 8 and shown.alone["pose"].sum() == pytest.approx(4 * shown.final.sum() / half.final.sum())
    nothing = calibrated(TokenDensities(np.full(40, 1e-9), {}), tokens, [(0.0, 1.0)])
    assert nothing.final.sum() == pytest.approx(8e-8)  # at most twice as much


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Files of untrained counters on the encoders that ship, by their branches."""
    encoders, folder = load_encoders(EncodeOptions(), CPU), tmp_path_factory.mktemp("counters")
    of_pose = {"encoder": "ctrgcn", "weights": encoders.pose.record, "look": None, "topology": "d2stx25"}
    of_video = {"encoder": "silhouette", "weights": encoders.video.record, "look": encoders.video.look.header(),
                "topology": None}  # fmt: skip
    output = {}
    for branches in ("pose", "both"):
        torch.manual_seed(0)
        config = dataclasses.replace(SMALL_D2STX, branches=branches)
        fed = {"pose": of_pose} | ({"video": of_video} if branches == "both" else {})
        meta = {
            "model": "d2stx", "config": as_dict(config), "classes": [], "licence": "MIT",
            "input": {"window": 64, "stride": 32, "rate": 30.0, "step": 4, **fed},
        }  # fmt: skip
        output[branches] = folder / f"{branches}.safetensors"
        with open(output[branches], "wb") as file:
            write_model(file, meta, D2STX(config).state_dict())
    return output


def rows(done) -> list[dict]:
    assert done.returncode == 0, done.stderr.decode()
    return pq.read_table(io.BytesIO(done.stdout)).to_pylist()


def test_a_pose_and_its_features_give_the_same(untrained, tmp_path):
    pose = tmp_path / "p.npz"
    pose.write_bytes(pose_bytes(swinging_pose(300)))
    model = ["--model", untrained["pose"]]
    (first,) = rows(racctl("count", pose, *model))
    features = racctl("encode", pose, "--encoder", "none", "--stride", 32)
    (two,) = rows(racctl("count", *model, stdin=features.stdout))
    assert first["density"] == two["density"] and len(first["density"]) == first["frames"] == 300
    assert first["count"] == pytest.approx(max(np.sum(first["density"]), 0), abs=1e-5)
    rounded = np.floor(first["count"] + 0.5)
    assert first["low"] <= rounded <= first["high"]
    assert len(rows(racctl("count", pose, *model, "--reps"))) == rounded
    (shown,) = rows(racctl("count", pose, *model, "--exemplar", "1-2.5"))
    assert shown["density"] != first["density"]


def test_a_video_is_counted_with_both_branches_and_explained(untrained, tmp_path):
    clip = write_clip(tmp_path / "c.mp4", bouncing(60, 15))
    words = ["count", clip, "--model", untrained["both"], "--jobs", 1]
    (both,) = rows(racctl(*words, "--explain", tmp_path / "seen"))
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {
        "c-joints.png", "c-places.png", "c-weights.png",
    }  # fmt: skip
    (part,) = rows(racctl(*words, "--start", 0.5, "--stop", 1.5))
    assert part["frames"] == 25
    pose = racctl("pose", clip, "-o", tmp_path / "c.pose.npz", "--jobs", 1)
    assert pose.returncode == 0
    (alone,) = rows(racctl("count", tmp_path / "c.pose.npz", "--model", untrained["both"]))
    assert alone["density"] != both["density"]
    (again,) = rows(racctl("count", tmp_path / "c.pose.npz", "--video", clip, "--model", untrained["both"]))
    assert again["density"] == both["density"]
    assert "how pose and video are fused" in one_line(
        racctl("count", tmp_path / "c.pose.npz", "--model", untrained["both"], "--explain", tmp_path / "no"), 2
    )


def test_a_folder_is_skipped_where_it_is_up_to_date(untrained, tmp_path):
    for name, frames in (("a", 90), ("b", 120)):
        pose = swinging_pose(frames)
        pose.meta = {**pose.meta, "clip": name}
        (tmp_path / f"{name}.npz").write_bytes(pose_bytes(pose))
    words = ["count", tmp_path / "a.npz", tmp_path / "b.npz", "-o", f"{tmp_path}/out/", "--model", untrained["pose"]]
    assert racctl(*words).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(before) == 2
    assert racctl(*words).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert racctl(*words, "--shots", 1).returncode == 0
    assert all(path.stat().st_mtime_ns != when for path, when in before.items())


def test_refusals(untrained, tmp_path):
    pose, model = tmp_path / "p.npz", ["--model", untrained["pose"]]
    pose.write_bytes(pose_bytes(swinging_pose(90)))
    for words, code, printed in (
        (["--model", "nothing"], 2, "invalid value 'nothing' for '--model'"),
        (["--model", pose], 1, "p.npz"),
        (
            [*model, "--alternating", "pair"],
            2,
            "'--model d2stx' has no option '--alternating'; it belongs to combined, periodicity",
        ),
        (["--shots", 1], 2, "it belongs to d2stx"),
        ([*model, "--exemplar", "3"], 2, "invalid value '3' for '--exemplar'"),
        ([*model, "--exemplar", "0:61-0:62"], 2, "invalid value '0:61-0:62' for '--exemplar'"),
        ([*model, "--exemplar", "3-2"], 2, "'--exemplar' takes START-STOP"),
        ([*model, "--exemplar", "200-300"], 2, "is not within the clip"),
        ([*model, "--exemplar", "1-2", "--shots", 2], 2, "'--shots' chooses exemplars itself"),
        ([*model, "--explain", tmp_path / "x"], 2, "this model looks at pose"),
    ):
        assert printed in one_line(racctl("count", pose, *words), code)
    features = racctl("encode", pose, "--encoder", "none", "--random-weights", "--rate", 30).stdout
    assert "made by another pose than the counter was trained with" in one_line(
        racctl("count", *model, stdin=features), 1
    )
    assert "use '--model d2stx'" in one_line(racctl("count", stdin=features), 1)


def test_a_damaged_header_is_one_error(tmp_path):
    config = dataclasses.replace(SMALL_D2STX, branches="pose")
    for broken in ({}, {"step": 4, "stride": 32}, {"step": "x", "stride": 1, "pose": {}}):
        meta = {"model": "d2stx", "config": as_dict(config), "classes": [], "licence": "MIT", "input": broken}
        with open(tmp_path / "m.safetensors", "wb") as file:
            write_model(file, meta, D2STX(config).state_dict())
        with pytest.raises(DataError):
            DensityReader(str(tmp_path / "m.safetensors"), CPU)


@pytest.fixture(scope="module")
def a_set(tmp_path_factory):
    """Six made-up sequences with 4 to 6 repetitions, and one with 60."""
    folder = tmp_path_factory.mktemp("set")
    few = ["--clips", 6, "--classes", "squat,jump_jack,sit_up", "--reps", "4-6"]
    many = ["--clips", 1, "--classes", "squat", "--reps", "60-60"]
    for name, words in (("few", few), ("many", many)):
        done = racctl("synth", "--out", folder / name, "--pose-only", "--clean", "--seed", 907, *words)
        assert done.returncode == 0, done.stderr.decode()
    return folder


def test_the_seams_of_a_long_clip_do_not_change_its_count(a_set, monkeypatch):
    trained = open_counter("d2stx", device="cpu").trained
    pose = load_pose(str(next((a_set / "many/pose").iterdir())))
    with open_pose(pose) as clip:
        features = encode_clip(clip.joints_only(), Encoders(None, trained.encoders.pose), trained.options)
    tokens = trained.reader.tokens(features, "many")
    counts = []
    for shared in (SHARED_TOKENS, SHARED_TOKENS - 20, SHARED_TOKENS + 13, SHARED_TOKENS + 29):  # other seams
        monkeypatch.setattr(reader, "SHARED_TOKENS", shared)
        counts.append(trained.reader.densities(tokens).final.sum())
    assert len(tokens) > 2 * CHUNK_TOKENS
    assert np.ptp(counts) < 0.5 and abs(counts[0] - 60) < 6


@pytest.mark.parametrize(
    ("branches", "seen", "picture", "read"),
    [("both", 1.0, True, "pose"), ("both", 0.5, True, "both"), ("both", 0.5, False, "pose"),
     ("pose", 0.5, True, "pose"), ("video", 1.0, True, "video"), ("video", 1.0, False, "--branches video")],
)  # fmt: skip
def test_the_picture_is_read_where_the_joints_are_seen_little(branches, seen, picture, read):
    pose = swinging_pose(60)
    lost = slice(10, 10 + round((1 - seen) * 60))
    pose.xyz[lost], pose.score[lost] = np.nan, 0
    clip = SimpleNamespace(pose=pose, shows_picture=picture, has_inner_features=True)
    counter = open_counter("d2stx", D2STXSettings(branches=branches), device="cpu").trained
    if read in ("pose", "video", "both"):
        assert counter._read(clip, 0) == read
    else:
        with pytest.raises(UsageError, match=read):
            counter._read(clip, 0)
    assert counter.reader.enough_seen == 0.7


def test_the_embedded_counter_counts_what_it_was_trained_for(a_set, tmp_path):
    poses = sorted((a_set / "few/pose").iterdir())
    result = racctl("count", *poses, "--model", "d2stx", "-o", f"{tmp_path}/out/")
    assert result.returncode == 0, result.stderr.decode()
    counts = {path.name.split(".")[0]: pq.read_table(path)["count"][0].as_py() for path in (tmp_path / "out").iterdir()}
    true = {row["clip"]: row["count"] for row in pq.read_table(a_set / "few/manifest.parquet").to_pylist()}
    off = [abs(counts[clip] - true[clip]) for clip in counts]
    assert len(off) == 6 and sum(first <= 1 for first in off) >= 5


@pytest.mark.parametrize(
    "text, span",
    [("2-3.4", (2, 3.4)), ("0:02-0:03.4", (2, 3.4)), ("59.5-1:02", (59.5, 62)), ("1:00:01-1:00:02", (3601, 3602))],
)
def test_an_exemplar_is_named_in_seconds_or_as_clocks_show_it(text, span):
    assert seconds_range(text) == span
