"""ELAN's .eaf (Max Planck Institute for Psycholinguistics), format 3.0: times in milliseconds, tiers of annotations.

Repetitions stand in the tier "repetitions", segments in "exercises", and the frames of each mark in "frames".
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as XML

from racctl.data.exchange.marks import (
    AnnotationFormat,
    Mark,
    MarkedClip,
    checked,
    clip_of_file,
    framed,
    label_of,
    numbered,
)
from racctl.errors import DataError
from racctl.io.spool import clip_name
from racctl.progress import tell

REPETITION_TIER, SEGMENT_TIER, FRAME_TIER = "repetitions", "exercises", "frames"
TIER_TYPE = "default-lt"
EAF_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
EPOCH = "1970-01-01T00:00:00Z"  # equal inputs give equal bytes
HEAD = 4096  # characters that a document type declaration would stand within


def write_eaf(clips: Sequence[MarkedClip]) -> str:
    """Return ELAN's document of one clip."""
    (clip,) = clips
    XML.register_namespace("xsi", INSTANCE)
    version = {"AUTHOR": "racctl", "DATE": EPOCH, "FORMAT": "3.0", "VERSION": "3.0"}
    root = XML.Element("ANNOTATION_DOCUMENT", {**version, f"{{{INSTANCE}}}noNamespaceSchemaLocation": EAF_SCHEMA})
    header = XML.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    media = {"MEDIA_URL": f"./{clip.clip}.mp4", "MIME_TYPE": "video/mp4", "RELATIVE_MEDIA_URL": f"./{clip.clip}.mp4"}
    XML.SubElement(header, "MEDIA_DESCRIPTOR", media)
    for name, value in (("clip", clip.clip), ("fps", f"{clip.fps:.10g}" if clip.fps else "")):
        if value:
            XML.SubElement(header, "PROPERTY", {"NAME": f"racctl:{name}"}).text = value
    order = XML.SubElement(root, "TIME_ORDER")
    slots: dict[int, str] = {}
    for time in sorted({round(1000 * s) for mark in clip.marks for s in (mark.start_s, mark.stop_s)}):
        slots[time] = f"ts{len(slots) + 1}"
        XML.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slots[time], "TIME_VALUE": str(time)})
    names = iter(f"a{k}" for k in range(1, 2 * len(clip.marks) + 1))
    tier = REPETITION_TIER if clip.counts_repetitions else SEGMENT_TIER
    for tier_name, texts in (
        (tier, [mark.text for mark in clip.marks]),
        (FRAME_TIER, [mark.frames_text for mark in clip.marks]),
    ):
        element = XML.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": TIER_TYPE, "TIER_ID": tier_name})
        for mark, text in zip(clip.marks, texts, strict=True):
            if text:
                _annotate(element, next(names), mark, slots, text)
    XML.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": TIER_TYPE, "TIME_ALIGNABLE": "true"},
    )
    XML.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + XML.tostring(root, encoding="unicode") + "\n"


def _annotate(tier: XML.Element, name: str, mark: Mark, slots: dict[int, str], text: str) -> None:
    places = {
        "ANNOTATION_ID": name,
        "TIME_SLOT_REF1": slots[round(1000 * mark.start_s)],
        "TIME_SLOT_REF2": slots[round(1000 * mark.stop_s)],
    }
    parent = XML.SubElement(XML.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION", places)
    XML.SubElement(parent, "ANNOTATION_VALUE").text = "".join(c if c.isprintable() else " " for c in text)


def read_eaf(text: str, where: str, fps: float = 0.0) -> list[MarkedClip]:
    """Return the one clip of an ELAN document: its repetitions where it has that tier, else the marks of all tiers."""
    if "<!DOCTYPE" in text[:HEAD] or "<!ENTITY" in text:
        raise DataError(f"'{where}' declares entities, which ELAN's documents do not")
    try:
        root = XML.fromstring(text.encode())
    except XML.ParseError as error:
        raise DataError(f"'{where}' is no whole XML document ({error})") from None
    properties = {p.get("NAME", ""): p.text or "" for p in root.iter("PROPERTY")}
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    tiers = {tier.get("TIER_ID", ""): _marks(tier, times, where) for tier in root.iter("TIER")}
    frames = {(mark.start_s, mark.stop_s): mark.label for mark in tiers.pop(FRAME_TIER, [])}
    chosen = [tiers[REPETITION_TIER]] if tiers.get(REPETITION_TIER) else list(tiers.values())
    marks = [framed(mark, frames.get((mark.start_s, mark.stop_s), "")) for tier in chosen for mark in tier]
    name = properties.get("racctl:clip") or _media(root) or clip_of_file(where)
    rate = properties.get("racctl:fps", "")
    clip = MarkedClip(name, marks, float(rate) if rate.replace(".", "", 1).isdecimal() else fps)
    return [numbered(checked(clip, where))]


def _media(root: XML.Element) -> str:
    media = next(root.iter("MEDIA_DESCRIPTOR"), None)
    url = "" if media is None else media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or ""
    return clip_name(url) if url else ""


def _marks(tier: XML.Element, times: dict[str | None, str | None], where: str) -> list[Mark]:
    """Return the marks of a tier; annotations that refer to others have no times of their own, and are passed over."""
    marks = []
    for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
        ends = [times.get(annotation.get(f"TIME_SLOT_REF{k}")) for k in (1, 2)]
        if any(end is None or not end.isdecimal() for end in ends):
            tell(f"'{where}': an annotation in the tier '{tier.get('TIER_ID')}' has no times of its own; left out")
            continue
        label = (annotation.findtext("ANNOTATION_VALUE") or "").strip()
        start, stop = (int(end or 0) / 1000 for end in ends)
        marks.append(Mark(start, stop, label_of(label)))
    return marks


def _is_eaf(text: str) -> bool:
    return "<ANNOTATION_DOCUMENT" in text[:HEAD]


EAF = AnnotationFormat(".eaf", True, _is_eaf, read_eaf, write_eaf)
