"""Poses in JSON: OpenPose's file per frame (BODY_25), COCO's keypoint annotations, MMPose's instances (COCO's 17)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from racctl.contracts import Pose
from racctl.io.poses.writers import PoseWriter
from racctl.skeleton.topology import COCO17

COCO_VISIBLE = 2  # COCO's v of a joint that is labelled and seen
EMPTY_KEYS = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")


def _people(pose: Pose, frame: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return track, x and y (V, 2) and score (V,) of everybody in a frame, zeros for joints that are not seen."""
    people = []
    for m, track in enumerate(pose.track.tolist()):
        seen = np.isfinite(pose.xyz[frame, m, :, :2]).all(-1)
        if seen.any():
            plane = np.where(seen[:, None], pose.xyz[frame, m, :, :2], 0.0).astype(float)
            people.append((track, plane, np.where(seen, pose.score[frame, m], 0.0).astype(float)))
    return people


def _box(plane: np.ndarray, score: np.ndarray) -> list[float]:
    """Return x, y, width and height of the box about the joints that are seen."""
    seen = plane[score > 0] if (score > 0).any() else plane
    low, high = seen.min(0), seen.max(0)
    return [round(float(value), 2) for value in (*low, *(high - low))]


def _rounded(values: np.ndarray, decimals: int = 3) -> list[float]:
    return [round(value, decimals) for value in values.ravel().tolist()]


def _text(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def write_openpose(pose: Pose) -> dict[str, bytes]:
    """Return a document for each frame, CLIP_000000000000_keypoints.json, as OpenPose's `--write_json` has them."""
    files = {}
    for t, frame in enumerate(pose.frame.tolist()):
        people = []
        for track, plane, score in _people(pose, t):
            flat = np.concatenate([plane, score[:, None]], 1)
            body = {"person_id": [track], "pose_keypoints_2d": _rounded(flat)}
            people.append(body | {key: [] for key in EMPTY_KEYS})
        files[f"{pose.clip}_{frame:012d}_keypoints.json"] = _text({"version": 1.3, "people": people})
    return files


def write_coco(pose: Pose) -> dict[str, bytes]:
    """Return COCO's keypoint JSON: an image for each frame, an annotation for each person, with track_id and scores."""
    source = pose.meta.get("source", {})
    size = {name: source[name] for name in ("width", "height") if name in source}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for t, (frame, time) in enumerate(zip(pose.frame.tolist(), pose.time.tolist(), strict=True)):
        name = f"{pose.clip}_{frame:06d}.jpg"
        images.append({"id": frame, "file_name": name, "frame_id": frame, "time": round(time, 6), **size})
        for track, plane, score in _people(pose, t):
            box, flags = _box(plane, score), np.where(score > 0, COCO_VISIBLE, 0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": frame,
                    "category_id": 1,
                    "track_id": track,
                    "keypoints": _rounded(np.concatenate([plane, flags[:, None]], 1)),
                    "keypoint_scores": _rounded(score),
                    "num_keypoints": int((score > 0).sum()),
                    "bbox": box,
                    "area": round(box[2] * box[3], 2),
                    "iscrowd": 0,
                    "score": round(float(score.mean()), 4),
                }
            )
    places = {joint: place for place, joint in enumerate(COCO17.joints, 1)}
    skeleton = [[places[a], places[b]] for a, b in COCO17.edges]
    person = {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": skeleton}
    return {"": _text({"images": images, "annotations": annotations, "categories": [person]})}


def write_mmpose(pose: Pose) -> dict[str, bytes]:
    """Return what MMPose's inferencer writes of a video: `meta_info` and `instance_info`, frame_id from 1."""
    rows = []
    for t, frame in enumerate(pose.frame.tolist()):
        instances = []
        for track, plane, score in _people(pose, t):
            x, y, width, height = _box(plane, score)
            points = [_rounded(point) for point in plane]
            instance = {"keypoints": points, "keypoint_scores": _rounded(score), "track_id": track}
            instances.append(instance | {"bbox": [[x, y, x + width, y + height]], "bbox_score": 1.0})
        rows.append({"frame_id": frame + 1, "instances": instances})
    names = list(COCO17.joints)
    meta = {
        "dataset_name": "coco",
        "num_keypoints": len(names),
        "keypoint_id2name": {str(k): name for k, name in enumerate(names)},
        "keypoint_name2id": {name: k for k, name in enumerate(names)},
        "skeleton_links": [[names.index(a), names.index(b)] for a, b in COCO17.edges],
    }
    return {"": _text({"meta_info": meta, "instance_info": rows})}


OPENPOSE_FILES = PoseWriter("", "openpose25", write_openpose)
COCO_ANNOTATIONS = PoseWriter(".json", "coco17", write_coco)
MMPOSE = PoseWriter(".json", "coco17", write_mmpose)
