"""One person, one track: drawn clips with somebody else in the picture, cut into several chunks."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the clips are drawn; needs racctl[synth]")
pytest.importorskip("anny", reason="the clips are drawn; needs racctl[synth]")

from two_people import KINDS, drawn_pair, followed, in_picture, save_clip

from racctl import estimate_pose, estimate_pose_features
from racctl.estimators import workers


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    """Borders within these short clips, as a long clip has them."""
    monkeypatch.setattr(workers, "CHUNK_FRAMES", 16)


def pose_and_truth(kind, tmp_path, people=1, jobs=2):
    pair = drawn_pair(kind)
    pose = estimate_pose(save_clip(pair.accompanied, tmp_path), people=people, jobs=jobs)
    return pose, pair.accompanied.pose


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("both", "leaving")])
def test_the_pose_is_one_persons_all_the_time(tmp_path, kind):
    pose, truth = pose_and_truth(kind, tmp_path)
    whose = followed(pose, truth)
    seen = whose >= 0
    person = np.bincount(whose[seen]).argmax()
    assert kind == "mirrored" or person == 0  # which of two who do the same does not matter
    assert (whose[seen] == person).mean() >= 0.97
    visible = in_picture(truth)[:, person]
    assert seen[visible].mean() >= 0.95


def test_two_who_exercise_have_a_track_each(tmp_path):
    pose, truth = pose_and_truth("both", tmp_path, people=2)
    assert pose.xyz.shape[1] == 2
    majorities = []
    for track in range(2):
        whose = followed(pose, truth, track)
        person = np.bincount(whose[whose >= 0]).argmax()
        assert (whose == person).mean() >= 0.97
        majorities.append(int(person))
    assert sorted(majorities) == [0, 1]
    assert pose.meta["main"] == 0 and pose.chosen("main") == [0]


def test_the_pose_beside_the_features_is_the_same_and_names_the_main_person_too(tmp_path):
    clip = save_clip(drawn_pair("both").accompanied, tmp_path)
    pose, features = estimate_pose_features(clip, people=2, jobs=2)
    assert pose.meta == estimate_pose(clip, people=2, jobs=2).meta
    assert pose.meta["main"] == 0 and features.meta["video"]["person"] == 0


def test_people_who_cross_keep_their_tracks(tmp_path):
    pose, truth = pose_and_truth("passing", tmp_path, people=2)
    exerciser = followed(pose, truth, 0)
    assert (exerciser == 0).mean() >= 0.97
    if pose.xyz.shape[1] == 2:
        passer = followed(pose, truth, 1)
        assert (passer[passer >= 0] == 1).mean() >= 0.8


def test_who_leaves_and_comes_back_is_the_same_person(tmp_path):
    pose, truth = pose_and_truth("leaving", tmp_path, people=2)
    away = np.flatnonzero(~in_picture(truth)[:, 0])
    assert len(away), "the exerciser never leaves"
    assert pose.xyz.shape[1] == 2
    tracks = np.stack([followed(pose, truth, track) for track in range(2)])
    (exerciser,) = np.flatnonzero((tracks[:, : away[0]] == 0).mean(1) >= 0.9)
    assert (tracks[exerciser, away[-1] + 20 :] == 0).mean() >= 0.9  # they come in from beyond the edge
    assert (tracks[1 - exerciser] == 1).mean() >= 0.95


def test_people_do_not_depend_on_the_number_of_threads(tmp_path):
    clip = save_clip(drawn_pair("passing").accompanied, tmp_path)
    first, second = (estimate_pose(clip, people=2, jobs=jobs) for jobs in (1, 3))
    assert first.xyz.tobytes() == second.xyz.tobytes() and first.score.tobytes() == second.score.tobytes()
