"""VGG Image Annotator's project of version 3: files, views of them, and metadata with times z in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from racctl.data.exchange.marks import AnnotationFormat, Mark, MarkedClip, checked, framed, label_of, number, numbered
from racctl.errors import DataError
from racctl.io.spool import clip_name

VIDEO_TYPE, LOCAL_PLACE, TEXT_TYPE = 4, 1, 1  # types of a file, of its place and of an attribute
LABEL_ATTRIBUTE, FRAMES_ATTRIBUTE = "1", "2"  # attributes of a segment
CREATOR = "VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)"


def write_via(clips: Sequence[MarkedClip]) -> str:
    """Return a project with a video for each clip, CLIP.mp4."""
    keys = [str(k) for k in range(1, len(clips) + 1)]
    segment = {"anchor_id": "FILE1_Z2_XY0", "type": TEXT_TYPE, "options": {}, "default_option_id": ""}
    metadata = {}
    for key, clip in zip(keys, clips, strict=True):
        for k, mark in enumerate(clip.marks, 1):
            values = {LABEL_ATTRIBUTE: mark.text} | ({FRAMES_ATTRIBUTE: mark.frames_text} if mark.frames_text else {})
            times = [round(mark.start_s, 3), round(mark.stop_s, 3)]
            metadata[f"{key}_{k:06d}"] = {"vid": key, "flg": 0, "z": times, "xy": [], "av": values}
    files: dict[str, Any] = {}
    for key, clip in zip(keys, clips, strict=True):
        video = f"{clip.clip}.mp4"
        files[key] = {"fid": key, "fname": video, "type": VIDEO_TYPE, "loc": LOCAL_PLACE, "src": video}
        files[key] |= {"fps": clip.fps} if clip.fps else {}
    project = {
        "pid": "__VIA_PROJECT_ID__",
        "rev": "__VIA_PROJECT_REV_ID__",
        "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__",
        "pname": "racctl",
        "creator": CREATOR,
        "created": 0,
        "data_format_version": "3.1.1",
        "vid_list": keys,
    }
    prefixes = {str(k): "" for k in range(1, 5)}
    document = {
        "project": project,
        "config": {"file": {"loc_prefix": prefixes}, "ui": {"file_content_align": "center"}},
        "attribute": {
            LABEL_ATTRIBUTE: {"aname": "exercise", "desc": "Exercise, and number of the repetition", **segment},
            FRAMES_ATTRIBUTE: {"aname": "frames", "desc": "Frames of the video", **segment},
        },
        "file": files,
        "metadata": metadata,
        "view": {key: {"fid_list": [key]} for key in keys},
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read_via(text: str, where: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return a clip for each video of a project; its segments' text is that of their first attribute."""
    document = json.loads(text)
    try:
        files, views, metadata = document["file"], document["view"], document["metadata"]
        clips = {}
        for key, view in views.items():
            about = files[str(view["fid_list"][0])]
            clips[key] = MarkedClip(clip_name(about["fname"]), fps=number(about.get("fps", fps), where))
        for entry in metadata.values():
            if len(entry["z"]) == 2:
                clips[str(entry["vid"])].marks.append(_mark(entry, where))
    except (KeyError, TypeError, AttributeError, IndexError):
        raise DataError(f"'{where}' is no whole project of the VGG Image Annotator") from None
    return [numbered(checked(clip, where)) for clip in clips.values()]


def _mark(entry: dict[str, Any], where: str) -> Mark:
    start, stop = (number(z, where) for z in entry["z"])
    values = entry.get("av", {})
    label = str(next((values[key] for key in sorted(values)), ""))
    return framed(Mark(start, stop, label_of(label)), str(values.get(FRAMES_ATTRIBUTE, "")))


def _is_via(text: str) -> bool:
    return '"metadata"' in text and '"view"' in text and '"fid_list"' in text


VIA = AnnotationFormat(".json", False, _is_via, read_via, write_via)
