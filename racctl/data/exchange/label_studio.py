"""Label Studio's tasks: TimelineLabels of a video, whose ranges are frames from 1 on, both ends within.

The labelling interface that they fit:

    <View><Video name="video" value="$video" frameRate="30"/>
    <TimelineLabels name="exercise" toName="video"><Label value="squat"/></TimelineLabels></View>

Label Studio does not write down a video's frame rate, so seconds follow from `meta`, where racctl keeps them, or from a
rate that the user gives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from racctl.contracts import VIDEO_SUFFIXES
from racctl.data.exchange.marks import AnnotationFormat, Mark, MarkedClip, checked, label_of, number, numbered
from racctl.errors import DataError
from racctl.io.spool import clip_name

CONTROL, OBJECT = "exercise", "video"
RESULT_TYPE = "timelinelabels"


def write_label_studio(clips: Sequence[MarkedClip]) -> str:
    """Return tasks with a prediction each; the frames of marks that have none follow from the clip's rate."""
    tasks = []
    for k, clip in enumerate(clips, 1):
        result = [_region(mark, clip, place) for place, mark in enumerate(clip.marks, 1)]
        data = {"video": f"{clip.clip}.mp4"} | ({"fps": clip.fps} if clip.fps else {})
        tasks.append({"id": k, "data": data, "predictions": [{"model_version": "racctl", "result": result}]})
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def _region(mark: Mark, clip: MarkedClip, place: int) -> dict[str, Any]:
    start, stop = mark.start, mark.stop
    if start is None or stop is None:
        if not clip.fps:
            raise DataError(f"'{clip.clip}' has marks in seconds alone, and Label Studio counts frames; give '--fps N'")
        start, stop = round(mark.start_s * clip.fps), round(mark.stop_s * clip.fps)
    ranges = [{"start": start + 1, "end": max(stop, start + 1)}]
    return {
        "id": f"r{place}",
        "type": RESULT_TYPE,
        "from_name": CONTROL,
        "to_name": OBJECT,
        "origin": "prediction",
        "value": {"ranges": ranges, RESULT_TYPE: [mark.text]},
        "meta": {"ranges": ranges, "seconds": [mark.start_s, mark.stop_s]},
    }


def read_label_studio(text: str, where: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return a clip for each task: of its last annotation, or where there is none of its last prediction."""
    document = json.loads(text)
    clips = []
    for task in document if isinstance(document, list) else [document]:
        try:
            data = task["data"]
            entries = [e for e in task.get("annotations") or [] if not e.get("was_cancelled")]
            results = [entry["result"] for entry in entries or task.get("predictions") or []]
            clip = MarkedClip(clip_name(_video(data)), fps=number(data.get("fps", fps), where))
            for region in results[-1] if results else []:
                if region["type"] == RESULT_TYPE:
                    clip.marks += _marks(region, clip, where)
        except (KeyError, TypeError, AttributeError, IndexError, StopIteration):
            raise DataError(f"'{where}' is no whole export of Label Studio") from None
        clips.append(numbered(checked(clip, where)))
    return clips


def _video(data: dict[str, Any]) -> str:
    """Return the video of a task: what is called so, else what ends as a video does, else the first text."""
    texts = [value for value in data.values() if isinstance(value, str)]
    named = data.get("video")
    if isinstance(named, str):
        return named
    return next((text for text in texts if text.lower().endswith(VIDEO_SUFFIXES)), next(iter(texts)))


def _marks(region: dict[str, Any], clip: MarkedClip, where: str) -> list[Mark]:
    label = label_of(" ".join(map(str, region["value"].get(RESULT_TYPE, []))))
    meta = region.get("meta") or {}
    seconds = meta.get("seconds") if meta.get("ranges") == region["value"]["ranges"] else None  # or somebody moved it
    marks = []
    for span in region["value"]["ranges"]:
        start, stop = int(number(span["start"], where)) - 1, int(number(span["end"], where))
        if seconds is None and not clip.fps:
            raise DataError(f"'{where}' counts frames and tells no frame rate of '{clip.clip}'; give '--fps N'")
        times = seconds if seconds is not None else (start / clip.fps, stop / clip.fps)
        marks.append(Mark(number(times[0], where), number(times[1], where), label, start=start, stop=stop))
    return marks


def _is_label_studio(text: str) -> bool:
    return f'"{RESULT_TYPE}"' in text and '"data"' in text


LABEL_STUDIO = AnnotationFormat(".json", False, _is_label_studio, read_label_studio, write_label_studio)
