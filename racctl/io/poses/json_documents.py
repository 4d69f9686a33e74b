"""Poses in JSON: OpenPose's file per frame (BODY_25 and COCO layouts) and COCO's keypoint annotations and results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from racctl.errors import DataError
from racctl.io.bounds import file_size, json_memory, refuse_large
from racctl.io.poses.arrays import read_array
from racctl.io.poses.base import Content, PoseFormat
from racctl.io.poses.frame_names import numbered_names
from racctl.io.poses.landmarks import ImportedLandmarks, Note, check_range, scale_of
from racctl.io.poses.layouts import BODY_18, BODY_25, BODY_25B, COCO_LAYOUT, Layout, shows_bones, told_by_bones
from racctl.io.poses.people import follow_people, stack_people
from racctl.io.sniff import sniff
from racctl.io.spool import open_input
from racctl.skeleton.topology import COCO17

OPENPOSE_LAYOUTS = {75: (BODY_25, BODY_25B), 54: (BODY_18,)}  # numbers per person -> what they may be
PARTIAL_VIEW_SLACK = 1.35  # bones of people that are not seen whole take more of what is seen
JSON_NUMBER_BYTES = 64  # of the array and of what is made of it

FRAME_KEYS = ("frame_id", "frame_number", "frame_index", "frame")  # of an image, in the ways exporters write it

People = list[np.ndarray]  # of one frame, each (V, 3): x, y, score


def load_json(file: IO[bytes], where: str) -> Any:
    """Parse a JSON document from a stranger.

    Raises DataError when it is none, or too large or too deep to be a pose.
    """
    size = file_size(file)
    refuse_large(size, where)
    raw = file.read(size)
    refuse_large(json_memory(raw), where)
    try:
        return json.loads(raw)
    except UnicodeDecodeError as error:
        place, value = error.start, error.object[error.start]
        raise DataError(f"'{where}' is not UTF-8 text (byte {place} is 0x{value:02x}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{where}' is not whole JSON ({str(error).splitlines()[0].lower()})") from None


def _numbers(values: object, where: str) -> np.ndarray:
    """Return a flat list of numbers as (N,) float64; null and NaN are NaN, anything else is a DataError."""
    if not isinstance(values, list) or not {type(value) for value in values} <= {int, float, type(None)}:
        raise DataError(f"'{where}' has keypoints that are not a flat list of numbers")
    try:
        array = np.array([np.nan if value is None else float(value) for value in values])
    except OverflowError:
        array = np.array([np.inf])
    check_range(array, where)
    return array


def _known(person: np.ndarray) -> np.ndarray:
    """Return (V, 3) with NaN for the joints that were not found: score 0, or a missing number."""
    detected = np.isfinite(person).all(-1) & (np.nan_to_num(person[:, 2]) > 0)
    return np.where(detected[:, None], person, np.nan)


def _landmarks(
    layout: tuple[str, Layout],
    frames: dict[int, People],
    ids: dict[int, list[int]] | None,
    source: str,
    note: Note,
    size: tuple[int, int] | None = None,
) -> ImportedLandmarks:
    """Make landmarks of people by frame number; `ids` names them where the file does, else they are followed."""
    name, topology = layout[0], layout[1].topology
    numbers = sorted(frames)
    people = [frames[number] for number in numbers]
    places = [[person[:, :2] for person in group] for group in people]
    tracks = follow_people(places, source) if ids is None else [ids[number] for number in numbers]
    plane, score, track = stack_people(people, tracks, len(topology), source, note)
    scale = scale_of(plane)
    if scale == "normalized" and (plane < 0).any() and name == "openpose":
        plane = (plane + 1) / 2  # its '--keypoint_scale 4' is -1..1
    xyz = np.concatenate([plane, np.zeros((*plane.shape[:-1], 1))], -1)
    xyz = np.where(np.isnan(plane).any(-1, keepdims=True), np.nan, xyz)
    details = {"people": "as named" if ids is not None else "followed by distance"} if len(track) > 1 else {}
    details |= {"layout": "BODY_25B"} if layout[1] is BODY_25B else {}
    return ImportedLandmarks(
        name,
        topology,
        xyz,
        scale,
        score,
        np.array(numbers),
        track=track,
        dims=2,
        args=details,
        size=size,
        is_heat_map=layout[1] is COCO_LAYOUT,
    )


def read_openpose_folder(folder: str, note: Note, layout_name: str | None = None) -> ImportedLandmarks:
    """Read landmarks from a folder of OpenPose JSON files, one per frame.

    They are numbered by the number that counts in their names, by their order where those have none.

    Files that are not JSON are left alone.
    """
    paths = [path for path in sorted(Path(folder).iterdir()) if not path.name.startswith(".") and _is_json(path)]
    if not paths:
        raise DataError(f"'{folder}' holds no OpenPose JSON files (one per frame, from '--write_json')")
    numbers = numbered_names([path.stem for path in paths], folder) or list(range(len(paths)))
    return _openpose(zip(numbers, map(str, paths), map(_load, paths), strict=True), folder, note, layout_name)


def _is_json(path: Path) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return False
    with open_input(str(path)) as file:
        return sniff(file) == "json"


def _load(path: Path) -> Any:
    with open_input(str(path)) as file:
        return load_json(file, str(path))


def read_openpose(document: Any, source: str, note: Note, layout_name: str | None = None) -> ImportedLandmarks:
    """Read one OpenPose document: a clip of one frame.

    layout_name: "openpose" or "openpose25b"; None to tell by the bones.
    """
    return _openpose([(0, source, document)], source, note, layout_name)


def _openpose(
    documents: Iterable[tuple[int, str, Any]], source: str, note: Note, layout_name: str | None
) -> ImportedLandmarks:
    frames: dict[int, People] = {}
    ids: dict[int, list[int]] = {}
    lengths: set[int] = set()
    held = 0
    for number, where, document in documents:
        people = document.get("people") if isinstance(document, dict) else None
        if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
            raise DataError(f"'{where}' is not OpenPose JSON; expected an object with a list 'people'")
        flat = [(_numbers(_body(person), where), _person_id(person)) for person in people]
        flat = [(values, name) for values, name in flat if len(values)]
        lengths |= {len(values) for values, _ in flat}
        if len(lengths) > 1 or not lengths <= set(OPENPOSE_LAYOUTS):
            counts = " and ".join(str(length) for length in sorted(lengths))
            raise DataError(f"'{where}' has {counts} numbers per person; expected 75 (BODY_25) or 54 (COCO) throughout")
        held += sum(JSON_NUMBER_BYTES * len(values) for values, _ in flat)
        refuse_large(held, source)
        frames[number] = [_known(values.reshape(-1, 3)) for values, _ in flat]
        ids[number] = [name for _, name in flat]
    named = any(ids.values()) and all(name >= 0 for names in ids.values() for name in names)
    layout = _openpose_layout(frames, lengths, source, layout_name)
    frames = {number: [layout.arranged(person) for person in people] for number, people in frames.items()}
    return _landmarks(("openpose", layout), frames, ids if named else None, source, note)


def _openpose_layout(frames: dict[int, People], lengths: set[int], source: str, layout_name: str | None) -> Layout:
    """Return which joints these are: what '--from' says, or by the bones.

    A clip of nobody is BODY_25.
    """
    layouts = OPENPOSE_LAYOUTS[lengths.pop()] if lengths else (BODY_25,)
    people = np.array([person for group in frames.values() for person in group])
    if layout_name is not None:
        named = [layout for layout in layouts if layout.name == layout_name]
        if not named and len(people):
            raise DataError(f"'{source}' has {people.shape[1]} joints, '--from {layout_name}' has 25")
        return named[0] if named else layouts[0]
    if not len(people) or (len(layouts) == 1 and not shows_bones(people, layouts)):
        return layouts[0]
    layout = told_by_bones(people, layouts, PARTIAL_VIEW_SLACK)
    if layout is None:
        ways = " or ".join(f"'--from {layout.name}'" for layout in layouts)
        raise DataError(
            f"'{source}' has {people.shape[1]} joints a person, and the bones do not tell their order; if you know it, "
            f"use {ways}"
        )
    return layout


def _body(person: dict[str, Any]) -> object:
    return person.get("pose_keypoints_2d", person.get("pose_keypoints", []))  # the second: before OpenPose 1.3


def _person_id(person: dict[str, Any]) -> int:
    """Return OpenPose's person_id, [-1] where it did not track; -1 for anything that is not an id."""
    value = person.get("person_id", -1)
    value = value[0] if isinstance(value, list) and value else value
    return value if type(value) is int and 0 <= value < 1 << 31 else -1


def _one_clip(numbers: list[Any], where: str) -> list[Any]:
    if len(set(numbers)) != len(numbers):
        raise DataError(f"'{where}' has two pictures for the same frame number; expected one clip")
    return numbers


def read_coco(document: Any, source: str, note: Note, layout_name: str | None = None) -> ImportedLandmarks:
    """Read landmarks from COCO keypoint JSON.

    An object with `annotations` (and `images`, `categories`) or a list of results.

    Joints go by the category's keypoint names where it has them; without names 17 must have the bones of COCO's, unless
    `layout_name` is "coco". v of 0, 1, 2 is score 0, 0.5, 1.
    """
    document = {"annotations": document} if isinstance(document, list) else document
    annotations = [entry for entry in _objects(document, "annotations", source) if "keypoints" in entry]
    if not annotations:
        raise DataError(f"'{source}' has no annotations with 'keypoints'")
    names = _coco_columns(_objects(document, "categories", source), source)
    people = [_coco_person(entry["keypoints"], names or list(COCO17.joints), source) for entry in annotations]
    refuse_large(JSON_NUMBER_BYTES * 3 * len(COCO17) * len(people), source)
    if names is None and layout_name is None:
        _check_bones(np.array([_known(person) for person in people]), source)
    third = np.concatenate([person[:, 2] for person in people])
    third = third[np.isfinite(third)]
    if np.isin(third, (0, 1, 2)).all() and ((third == 2).any() or "images" in document):
        people = [person * [1, 1, 0.5] for person in people]
    images = _objects(document, "images", source)
    number = _coco_frames(images, annotations, source)
    frames: dict[int, People] = {n: [] for n in number.values()}
    ids: dict[int, list[int]] = {n: [] for n in number.values()}
    for entry, person in zip(annotations, people, strict=True):
        frame = number.get(_image_id(entry.get("image_id"), source))
        if frame is None:
            raise DataError(f"'{source}' annotates the image {entry.get('image_id')!r}, which is not in its 'images'")
        frames[frame].append(_known(person))
        ids[frame].append(_person_id({"person_id": entry.get("track_id")}))
    named = all(name >= 0 for names in ids.values() for name in names)
    landmarks = _landmarks(("coco", COCO_LAYOUT), frames, ids if named else None, source, note, _coco_size(images))
    return replace(landmarks, time=_coco_times(images, number, source))


def _coco_times(images: list[dict[str, Any]], number: dict[int | str, int], where: str) -> np.ndarray | None:
    """Return the seconds (T,) of the pictures, in the order of their frames, where all tell them."""
    seconds = {number[image["id"]]: image.get("time") for image in images}
    if not seconds or not all(type(value) in (int, float) for value in seconds.values()):
        return None
    times = np.array([seconds[frame] for frame in sorted(seconds)], np.float64)
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise DataError(f"'{where}' has pictures whose 'time' does not ascend")
    return times


def _objects(document: Any, key: str, where: str) -> list[dict[str, Any]]:
    items = document.get(key, []) if isinstance(document, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise DataError(f"'{where}' is not COCO keypoint JSON; expected '{key}' to be a list of objects")
    return items


def _check_bones(people: np.ndarray, source: str) -> None:
    """Raise DataError unless (N, 17, 3) are put together like COCO's joints, or too few are known to tell."""
    if shows_bones(people, (COCO_LAYOUT,)) and told_by_bones(people, (COCO_LAYOUT,), PARTIAL_VIEW_SLACK) is None:
        raise DataError(
            f"'{source}' has 17 keypoints without names, and their bones are not those of COCO's; if they are, use "
            "'--from coco'"
        )


def _coco_columns(categories: list[dict[str, Any]], where: str) -> list[str] | None:
    """Return the keypoint names in the file's order: those of its first category that lists them, None without."""
    for category in categories:
        names = category.get("keypoints")
        if isinstance(names, list) and names:
            columns = [str(name).lower() for name in names]
            if not set(COCO17.joints) & set(columns) or len(set(columns)) != len(columns):
                raise DataError(f"'{where}' has other keypoints than COCO's 17 ({', '.join(columns[:3])}, ...)")
            return columns
    return None


def _coco_person(values: object, columns: list[str], where: str) -> np.ndarray:
    flat = _numbers(values, where)
    if len(flat) != 3 * len(columns):
        raise DataError(f"'{where}' has {len(flat)} numbers per person; expected {3 * len(columns)}, x, y, v per joint")
    person = np.full((len(COCO17), 3), np.nan)
    for joint, row in zip(columns, flat.reshape(-1, 3), strict=True):
        if joint in COCO17:
            person[COCO17.index(joint)] = row
    return person


def _image_id(value: object, where: str) -> int | str:
    if type(value) is int or isinstance(value, str):
        return value
    raise DataError(f"'{where}' has an annotation whose 'image_id' is {value!r}; expected a number or a name")


def _coco_frames(images: list[dict[str, Any]], annotations: list[dict[str, Any]], where: str) -> dict[int | str, int]:
    """Map image ids to frame numbers.

    What the file calls so, else the number that counts in the file names, else the id.
    """
    if not images:
        ids = list(dict.fromkeys(_image_id(entry.get("image_id"), where) for entry in annotations))
        return dict(zip(ids, _numbered(ids, None, where), strict=True))
    ids = _one_clip([_image_id(image.get("id"), where) for image in images], where)
    _check_one_video(images, where)
    for key in FRAME_KEYS:
        values = [image.get(key) for image in images]
        if all(type(value) is int for value in values):
            return dict(zip(ids, _numbered(values, None, where), strict=True))
    names = [image.get("file_name") for image in images]
    if all(isinstance(name, str) for name in names):
        return dict(zip(ids, _numbered(names, ids, where), strict=True))
    return dict(zip(ids, _numbered(ids, None, where), strict=True))


def _check_one_video(images: list[dict[str, Any]], where: str) -> None:
    """Raise DataError for pictures of several videos.

    They are told apart by their ids or by the folders that they lie in; one clip with frame numbers that go on would
    hide it.
    """
    videos = {value for image in images if isinstance(value := image.get("video_id"), int | str)}
    names = [name for image in images if isinstance(name := image.get("file_name"), str)]
    folders = {str(Path(name.replace("\\", "/")).parent) for name in names}
    for what, several in (("videos", sorted(map(str, videos))), ("folders", sorted(folders))):
        if 1 < len(several) < len(images):  # a folder for each picture tells nothing
            shown = f"'{several[0]}', '{several[1]}'{', ...' if len(several) > 2 else ''}"
            raise DataError(f"'{where}' has pictures of {len(several)} {what} ({shown}); expected one clip, split it")


def _numbered(values: list[Any], ids: list[Any] | None, where: str) -> list[int]:
    """Return the frame number of each value.

    Names by the number that counts in them, or without one by their ids, else as they come.
    """
    if all(type(value) is int for value in values):
        if not all(0 <= value < 1 << 53 for value in values):
            raise DataError(f"'{where}' has image numbers below 0 or beyond 2^53")
        return _one_clip(list(values), where)
    counts = ids is not None and all(type(value) is int and 0 <= value < 1 << 53 for value in ids)
    numbers = numbered_names([Path(str(value)).stem for value in values], where, ids if counts else None)
    if numbers is None:
        numbers = list(ids or []) if counts else list(range(len(values)))
    return numbers


def _coco_size(images: list[dict[str, Any]]) -> tuple[int, int] | None:
    """Return (width, height) where all pictures have the same."""
    sizes = [(image.get("width"), image.get("height")) for image in images]
    for width, height in sizes[:1]:
        if type(width) is int and type(height) is int and min(width, height) > 0 and sizes == sizes[:1] * len(sizes):
            return width, height
    return None


def is_openpose(content: Content) -> bool:
    """Return whether this is a folder, or a document with people."""
    return content.kind == "folder" or (isinstance(content.document, dict) and "people" in content.document)


def is_coco(content: Content) -> bool:
    """Return whether this is a list of results, or a document with annotations."""
    document = content.document
    return isinstance(document, list) or (isinstance(document, dict) and "annotations" in document)


def _refuse_other_json(content: Content, name: str | None, claims: Callable[[Content], bool], dialect: str) -> None:
    if not claims(content):
        raise DataError(f"'{content.where}' is {dialect} JSON, not '--from {name}'")


def openpose_format(layouts: tuple[Layout, ...]) -> PoseFormat:
    """Return the format of OpenPose's documents and arrays, of a body with these joints."""

    def read(content: Content, name: str | None, note: Note) -> ImportedLandmarks:
        if content.kind == "folder":
            return read_openpose_folder(content.where, note, name)
        if content.kind != "json":
            return read_array(content.opened(), content.kind, content.where, layouts, note)
        _refuse_other_json(content, name, is_openpose, "coco")
        return read_openpose(content.document, content.where, note, name)

    accepts = "a folder or file of OpenPose JSON"
    kinds = ("json", "folder", "npy", "npz")
    return PoseFormat(kinds, accepts, lambda content: content.kind in ("json", "folder") and is_openpose(content), read)


def _read_coco_format(content: Content, name: str | None, note: Note) -> ImportedLandmarks:
    if content.kind != "json":
        return read_array(content.opened(), content.kind, content.where, (COCO_LAYOUT,), note)
    _refuse_other_json(content, name, is_coco, "openpose")
    return read_coco(content.document, content.where, note, name)


OPENPOSE = openpose_format((BODY_25, BODY_18))
OPENPOSE25B = openpose_format((BODY_25B,))
COCO = PoseFormat(
    ("json", "npy", "npz"),
    "COCO keypoint JSON",
    lambda content: content.kind == "json" and is_coco(content),
    _read_coco_format,
)
