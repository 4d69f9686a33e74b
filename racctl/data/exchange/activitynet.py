"""ActivityNet's JSON: `database`, with annotations, or `results`, with scores, of many clips, in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from racctl.data.exchange.marks import AnnotationFormat, Mark, MarkedClip, checked, framed, number, numbered
from racctl.errors import DataError

VERSION = "VERSION 1.3"


def write_activitynet(clips: Sequence[MarkedClip]) -> str:
    """Return a `database` of the clips; frames, numbers of repetitions and frame rates stand in keys of their own."""
    database: dict[str, Any] = {}
    for clip in clips:
        rows = []
        for mark in clip.marks:
            row: dict[str, Any] = {"segment": [mark.start_s, mark.stop_s], "label": mark.label or "repetition"}
            row |= {"rep": mark.rep} if mark.rep else {}
            row |= {"frames": mark.frames_text} if mark.frames_text else {}
            rows.append(row)
        last = max((mark.stop_s for mark in clip.marks), default=0.0)
        entry: dict[str, Any] = {"subset": "validation", "duration": last, "annotations": rows}
        database[clip.clip] = entry | ({"fps": clip.fps} if clip.fps else {})
    return json.dumps({"version": VERSION, "taxonomy": [], "database": database}, indent=1, ensure_ascii=False) + "\n"


def read_activitynet(text: str, where: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return the clips of a `database` or of `results`."""
    document = json.loads(text)
    entries = document.get("database", document.get("results"))
    if not isinstance(entries, dict):
        raise DataError(f"'{where}' has no clips under 'database' or 'results'")
    clips = []
    for name, entry in entries.items():
        rows = entry.get("annotations") if isinstance(entry, dict) else entry
        if not isinstance(rows, list):
            raise DataError(f"'{where}' has no list of annotations of the clip '{name}'")
        rate = number(entry.get("fps", fps), where) if isinstance(entry, dict) else fps
        clip = checked(MarkedClip(name, [_mark(row, where) for row in rows], rate), where)
        clips.append(clip if clip.counts_repetitions else numbered(clip))
    return clips


def _mark(row: Any, where: str) -> Mark:
    try:
        start, stop = row["segment"]
        label, rep, frames = str(row.get("label", "")), int(row.get("rep", 0)), str(row.get("frames", ""))
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        raise DataError(f"'{where}' has an annotation without its segment: {str(row)[:60]}") from None
    label = "" if rep and label == "repetition" else label
    return framed(Mark(number(start, where), number(stop, where), label, rep), frames)


def _is_activitynet(text: str) -> bool:
    return text.lstrip("\ufeff").lstrip().startswith("{") and ('"database"' in text or '"results"' in text)


ACTIVITYNET = AnnotationFormat(".json", False, _is_activitynet, read_activitynet, write_activitynet)
