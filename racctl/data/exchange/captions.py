"""Captions that players show: WebVTT (W3C) and SubRip. A file is about one clip, whose name is the file's.

WebVTT keeps the frames of a mark as the cue's identifier and the clip's name and frame rate as a note; SubRip has no
place for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from racctl.data.exchange.marks import (
    AnnotationFormat,
    Mark,
    MarkedClip,
    checked,
    clip_of_file,
    framed,
    label_of,
    number,
    numbered,
)
from racctl.errors import DataError

TIME = r"(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
TIMES = re.compile(rf"^\s*{TIME}\s+-->\s+{TIME}(?:\s.*)?$")
TAGS = re.compile(r"</?[a-zA-Z][^>\n]*>")
NOTE = "NOTE racctl "
ESCAPED = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def stamp(seconds: float, separator: str) -> str:
    """Return "00:01:02.345", to the nearest millisecond."""
    thousandths = round(seconds * 1000)
    minutes, rest_ms = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, fraction = divmod(rest_ms, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{separator}{fraction:03d}"


def _seconds(groups: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (int(group or 0) for group in groups)
    digits = len(groups[3] or "")
    return hours * 3600 + minutes * 60 + seconds + fraction / 10**digits


def write_vtt(clips: Sequence[MarkedClip]) -> str:
    """Return WebVTT of one clip."""
    (clip,) = clips
    about = {"clip": clip.clip} | ({"fps": clip.fps} if clip.fps else {})
    blocks = ["WEBVTT", NOTE + json.dumps(about, ensure_ascii=False).replace("-->", "->")]
    for mark in clip.marks:
        text = mark.text.replace("\n", " ")
        for plain, escaped in ESCAPED:
            text = text.replace(plain, escaped)
        times = f"{stamp(mark.start_s, '.')} --> {stamp(mark.stop_s, '.')}"
        blocks.append("\n".join(filter(None, [mark.frames_text, times, text])))
    return "\n\n".join(blocks) + "\n"


def write_srt(clips: Sequence[MarkedClip]) -> str:
    """Return SubRip of one clip."""
    (clip,) = clips
    cues = [
        f"{k}\n{stamp(mark.start_s, ',')} --> {stamp(mark.stop_s, ',')}\n{' '.join(mark.text.split())}\n"
        for k, mark in enumerate(clip.marks, 1)
    ]
    return "\n".join(cues)


def read_captions(text: str, where: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return the one clip of WebVTT or SubRip, without styles and tags."""
    clip = MarkedClip(clip_of_file(where), fps=fps)
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n").strip()):
        lines = block.strip("\n").split("\n")
        if lines[0].startswith(NOTE):
            _note(lines[0].removeprefix(NOTE), clip)
        times = next((k for k, line in enumerate(lines) if TIMES.match(line)), None)
        if times is None:
            if any("-->" in line for line in lines) and not lines[0].startswith(("NOTE", "STYLE", "REGION")):
                raise DataError(f"'{where}' has a cue without times: '{lines[0][:60]}'")
            continue
        match = TIMES.match(lines[times])
        assert match is not None, "it matched above"
        label = " ".join(_plain(line) for line in lines[times + 1 :]).strip()
        mark = Mark(_seconds(match.groups()[:4]), _seconds(match.groups()[4:]), label_of(label))
        clip.marks.append(framed(mark, " ".join(lines[:times])))
    return [numbered(checked(clip, where))]


def _note(text: str, clip: MarkedClip) -> None:
    """Take over the name and frame rate of racctl's own note."""
    try:
        about = json.loads(text)
        name, rate = str(about["clip"]), number(about.get("fps", 0.0), "the note")
    except (ValueError, KeyError, TypeError, DataError):
        return
    clip.clip, clip.fps = name, max(rate, 0.0)


def _plain(line: str) -> str:
    line = TAGS.sub("", line)
    for plain, escaped in reversed(ESCAPED):
        line = line.replace(escaped, plain)
    return line


def _is_vtt(text: str) -> bool:
    return text.lstrip("\ufeff").startswith("WEBVTT")


def _is_srt(text: str) -> bool:
    lines = text.lstrip("\ufeff").strip().splitlines()[:2]
    return len(lines) == 2 and lines[0].strip().isdecimal() and TIMES.match(lines[1]) is not None


VTT = AnnotationFormat(".vtt", True, _is_vtt, read_captions, write_vtt)
SRT = AnnotationFormat(".srt", True, _is_srt, read_captions, write_srt)
