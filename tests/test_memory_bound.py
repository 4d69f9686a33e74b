"""What a file may take in memory: small files that stand for gigabytes are refused under a limit."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io

from racctl.contracts import MAX_META, dump_meta
from racctl.data.tables import read_text
from racctl.errors import DataError
from racctl.io import bounds
from racctl.io.bounds import MAX_MEMORY, json_memory
from racctl.io.checkpoint import read_model, write_model
from racctl.io.mask_outline import outline_mask
from racctl.io.npz import read_arrays, read_mask, read_npz, write_frames
from racctl.io.parquet import table_from_rows
from racctl.io.poses.arrays import ARRAY_NUMBER_BYTES
from racctl.io.poses.csv_tables import RECORD_BYTES
from racctl.io.poses.formats import load_pose

HOUR = 108_000  # frames at 30 a second
LIMIT = 3 << 30  # of address space, the libraries included
MOST_RESIDENT = 400 << 20

READ = """
import resource, sys
from racctl.errors import DataError
from racctl.info import describe
from racctl.io.poses.formats import load_pose
from racctl.data.truth import read_clips
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), -1))
for reader, path in zip(sys.argv[2::2], sys.argv[3::2]):
    try:
        {"info": describe, "pose": load_pose, "clips": read_clips}[reader](path)
        print("read", path)
    except DataError as error:
        print("refused", error)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))  # KiB
"""


class Empty:
    """Masks without anybody that take no memory."""

    def __init__(self, frames, height, width):
        self.shape = (frames, height, width)

    def __getitem__(self, t):
        return np.zeros(self.shape[1:], np.uint8)


def deflated(path: Path, name: str, shape: tuple[int, ...], dtype: str, meta: dict | None = None) -> Path:
    """An npz of one array of zeros (and of a clock and a meta document), written without having it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if meta is not None:
            clock = {"frame": np.arange(shape[0]), "time": np.arange(shape[0]) / 30}
            for member, array in {"meta": np.frombuffer(dump_meta(meta), np.uint8), **clock}.items():
                with archive.open(f"{member}.npy", "w") as stream:
                    np.lib.format.write_array(stream, array)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            left = int(np.prod(shape)) * np.dtype(dtype).itemsize
            while left:
                left -= stream.write(bytes(min(left, 4 << 20)))
    return path


def parquet(path: Path, table: pa.Table, meta: dict | None) -> Path:
    documents = None if meta is None else {b"racctl": dump_meta(meta)}
    pq.write_table(table.replace_schema_metadata(documents), path, compression="zstd")
    return path


def counts(rows: int, **more: pa.Array) -> pa.Table:
    row = {"clip": "a", "person": 0, "count": 1.0, "low": 1.0, "high": 1.0, "frames": 9}
    table = table_from_rows("racctl.counts/1", [row]).take(pa.array(np.zeros(rows, np.int64)))
    for name, column in more.items():
        table = table.append_column(name, column)
    return table


def bombs(folder: Path) -> list[tuple[str, Path]]:
    """Small files of every kind that would take gigabytes."""
    schema = {"schema": "racctl.counts/1"}
    packed = {"schema": "racctl.mask/1", "packed": {"width": 3200}}
    equal = pa.ListArray.from_arrays([0, 60_000_000], pa.array(np.zeros(60_000_000, np.float32)))
    wide = ["name,count," + ",".join(f"L{k}" for k in range(1, 16000)), *["a,1"] * 16_000]
    (folder / "wide.csv").write_text("\n".join(wide))
    (folder / "objects.json").write_text('{"annotations": [' + "{}," * 12_000_000 + "{}]}")
    scipy.io.savemat(folder / "mat.mat", {"label": np.zeros((1 << 15, 1 << 13), np.uint8)}, do_compression=True)
    texts = pa.array(["x" * (1 << 20)] * 100)
    return [
        ("info", deflated(folder / "mask.npz", "mask", (2000, 1000, 400), "u1", packed)),
        ("pose", deflated(folder / "u1.npz", "a", (300_000, 99), "u1")),
        ("pose", deflated(folder / "i2.npz", "a", (2_000_000, 25, 3), "i2")),
        ("info", parquet(folder / "strings.parquet", counts(100, note=texts), schema)),
        ("info", parquet(folder / "unsigned.parquet", counts(3000), None)),
        ("info", parquet(folder / "list.parquet", counts(1, density=equal), schema)),
        ("clips", parquet(folder / "rows.parquet", counts(300_000), schema)),
        ("clips", folder / "wide.csv"),
        ("pose", folder / "objects.json"),
        ("clips", folder / "mat.mat"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="limits and measures memory as Linux does")
def test_small_files_that_stand_for_gigabytes_are_refused_under_a_limit(tmp_path):
    read = [(reader, str(path)) for reader, path in bombs(tmp_path)]
    arguments = [argument for pair in read for argument in pair]
    command = [sys.executable, "-c", READ, str(LIMIT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *lines, resident = done.stdout.splitlines()
    outcomes = dict(zip([Path(path).name for _, path in read], lines, strict=True))
    assert outcomes.pop("wide.csv").startswith("read")  # rows stay as short as they are
    assert all(line.startswith("refused") for line in outcomes.values()), outcomes
    assert "without a racctl meta document" in outcomes["unsigned.parquet"]
    assert int(resident) << 10 < MOST_RESIDENT


def test_text_is_counted_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_MEMORY", 1 << 20)
    with pytest.raises(DataError, match=r"'t' is too large: its first [0-9]+ lines would take"):
        read_text(io.BytesIO(b"clip,count\n" + b"ab,12\n" * 10_000), "t")
    for name, text in (
        ("wide.csv", "nose_x,nose_y\n" + "1,2\n" * 1000),
        ("long.csv", "frame,landmark,x,y\n" + "".join(f"{t},nose,1,2\n" for t in range(5000))),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=f"{name}' is too large: its [0-9]+ (poses|joints) would take"):
            load_pose(str(tmp_path / name))


def test_a_row_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr("racctl.io.text.MAX_ROW_CHARACTERS", 1 << 20)
    for row in (b"x" * (2 << 20), b'"' + b"x\n" * (1 << 20)):
        with pytest.raises(DataError, match="'t' has a row of more than 1 MiB"):
            read_text(io.BytesIO(b"clip,count\n" + row), "t")


def test_an_hour_of_two_people_has_room_in_every_format():
    assert HOUR * 2 * 33 * 4 * ARRAY_NUMBER_BYTES < MAX_MEMORY
    assert HOUR * 2 * RECORD_BYTES < MAX_MEMORY
    keypoints = ", ".join(["123.456, 234.567, 0.987"] * 17)
    about = '"id": 1, "image_id": 1, "category_id": 1, "score": 0.9, "bbox": [1, 2, 3, 4]'
    person = f'{{{about}, "keypoints": [{keypoints}]}},'
    assert json_memory(person.encode()) * HOUR * 2 < MAX_MEMORY
    assert HOUR * 112 * 112 < MAX_MEMORY


def test_masks_are_refused_by_what_they_unpack_to(monkeypatch):
    out, frames = io.BytesIO(), 64
    write_frames(out, {"clip": "a"}, Empty(frames, 64, 80), np.arange(frames), np.arange(frames) / 30)
    meta = {"schema": "racctl.mask/1", "packed": {"width": 80}}
    outline = outline_mask(out, meta, "m")
    assert (outline.shape, outline.filled.tolist()) == ((64, 64, 80), [0.0] * 64)
    assert read_mask(out, "m").mask.shape == outline.shape
    monkeypatch.setattr(bounds, "MAX_MEMORY", 64 * 64 * 80 - 1)
    for read in (lambda: read_mask(out, "m"), lambda: outline_mask(out, meta, "m")):
        with pytest.raises(DataError, match=r"'m' is too large: 64 masks.* would take"):
            read()


@pytest.mark.parametrize("packed", [True, False])
def test_the_outline_of_a_mask_is_that_of_the_whole(packed):
    masks = (np.random.default_rng(0).random((9, 13, 21)) < np.linspace(0, 0.9, 9)[:, None, None]).astype(np.uint8)
    out = io.BytesIO()
    on_disk = np.packbits(masks, axis=-1) if packed else masks
    np.savez_compressed(out, mask=on_disk, frame=np.arange(9), time=np.arange(9.0))
    outline = outline_mask(out, {"packed": {"width": 21}} if packed else {}, "m")
    assert outline.shape == (9, 13, 21)
    np.testing.assert_allclose(outline.filled, masks.mean((1, 2)))


def test_weights_ask_for_their_own_size():
    import torch

    class Counting(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            self.largest = max(self.largest, size if size >= 0 else sys.maxsize)
            return super().read(size)

    file = Counting()
    write_model(file, {"model": "m", "config": {}, "classes": [], "input": {}}, {"a": torch.zeros(1000)})
    read_model(file, "w")
    assert file.largest == len(file.getvalue())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_readers_hold_an_array_once(save):
    array, out = np.arange(8 << 20, dtype=np.uint8), io.BytesIO()
    save(out, a=array)
    tracemalloc.start()
    read = read_arrays(out, "x")["a"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(read, array)
    assert peak < 2 * array.nbytes


def test_sizes_that_the_file_cannot_hold_are_refused_before_they_are_taken():
    out = io.BytesIO()
    np.savez(out, a=np.zeros(100))
    raw = bytearray(out.getvalue())
    central = raw.rindex(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (1 << 30).to_bytes(4, "little")  # the member's size, as the directory has it
    with pytest.raises(DataError, match="larger than the file"):
        read_arrays(io.BytesIO(raw), "x")


def test_meta_documents_have_a_bound():
    text = dump_meta({"schema": "racctl.pose/1", "x": "y" * MAX_META})
    out = io.BytesIO()
    np.savez(out, meta=np.frombuffer(text, np.uint8))
    with pytest.raises(DataError, match="damaged meta document"):
        read_npz(out, "x")


def test_short_rows_stay_short():
    header = "name,count," + ",".join(f"L{k}" for k in range(1, 3001))
    table = read_text(io.BytesIO(f"{header}\na,1,5\nb,2,,,,,,7\nc,0\n".encode()), "t")
    assert [len(row) for row in table.rows] == [3, 8, 2]
    assert list(table.frame_marks()) == [[5], [None, None, None, None, None, 7], []]
    assert table.text("L3000") == ["", "", ""]
    with pytest.raises(DataError, match="has 16385 columns; expected at most 16384"):
        read_text(io.BytesIO(",".join(f"c{k}" for k in range(16385)).encode() + b"\n1\n"), "t")
