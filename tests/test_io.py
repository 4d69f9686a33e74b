"""Files: read(write(x)) == x, equal input gives equal bytes, damage is always one DataError."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from racctl.contracts import TABLE_COLUMNS, VIDEO_SUFFIXES, Pose, clip_stem, dump_meta, load_meta
from racctl.errors import DataError
from racctl.io.npz import pose_bytes, read_arrays, read_npz, read_pose
from racctl.io.output import write_file
from racctl.io.parquet import read_table, table_from_rows, write_table
from racctl.io.sniff import sniff
from racctl.io.up_to_date import is_current

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
REAL = st.floats(-1e6, 1e6, width=32)


@st.composite
def poses(draw):
    t, m, v = draw(st.integers(0, 6)), draw(st.integers(0, 3)), draw(st.integers(1, 5))
    xyz = draw(hnp.arrays(np.float32, (t, m, v, 3), elements=st.one_of(REAL, st.just(np.nan))))
    score = draw(hnp.arrays(np.float32, (t, m, v), elements=st.floats(0, 1, width=32)))
    world = draw(st.one_of(st.none(), st.just(xyz / 100)))
    frame = np.cumsum(draw(hnp.arrays(np.int64, t, elements=st.integers(1, 9)))) - 1
    meta = {"clip": draw(TEXT), "source": {"name": draw(TEXT)}, "steps": [{"tool": "pose", "args": {}}]}
    return Pose(xyz, score, frame, frame / 30.0, np.arange(m, dtype=np.int32), meta, world)


@given(poses())
@settings(max_examples=60, deadline=None)
def test_a_pose_comes_back_as_it_went(pose):
    data = pose_bytes(pose)
    again = read_pose(io.BytesIO(data), "x")
    for name, array in pose.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), array)
    assert (again.world is None) == (pose.world is None)
    assert {key: again.meta[key] for key in pose.meta} == pose.meta
    assert pose_bytes(again) == data


@pytest.fixture(scope="module")
def pose():
    rng = np.random.default_rng(0)
    xyz = rng.normal(size=(20, 1, 33, 3)).astype(np.float32)
    score = np.ones((20, 1, 33), np.float32)
    return Pose(xyz, score, np.arange(20), np.arange(20) / 30, np.zeros(1, np.int32), {"clip": "a", "steps": []})


def test_every_cut_of_an_npz_is_a_data_error(pose):
    data = pose_bytes(pose)
    for end in [*range(1, 200), *range(200, len(data), 97), len(data) - 1]:
        with pytest.raises(DataError):
            read_pose(io.BytesIO(data[:end]), "x")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_npz_reads_or_is_a_data_error(data):
    whole = bytearray(pose_bytes(Pose(
        np.zeros((2, 1, 3, 3), np.float32), np.ones((2, 1, 3), np.float32), np.arange(2), np.arange(2) / 30,
        np.zeros(1, np.int32), {"clip": "a"},
    )))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_pose(io.BytesIO(bytes(whole)), "x")
    except DataError as error:
        assert "\n" not in str(error)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_table_reads_or_is_a_data_error(data):
    whole = bytearray(_table_bytes([{"clip": "a", "person": 0, "count": 1.5, "low": 1.0, "high": 2.0, "frames": 9}]))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_table(io.BytesIO(bytes(whole)), "x")
    except DataError as error:
        assert "\n" not in str(error)


def test_no_damaged_byte_of_a_tables_footer_ends_the_process():
    # Arrow 26 calls abort() where it is asked for a column whose sizes contradict its type.
    code = """
import io
from test_io import _table_bytes
from racctl.errors import DataError
from racctl.io.parquet import read_table
whole = _table_bytes([{"clip": "a", "person": 0, "count": 1.5, "low": 1.0, "high": 2.0, "frames": 9}])
refused = 0
for place in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
    for value in {0, 255} - {whole[place]}:
        try:
            read_table(io.BytesIO(whole[:place] + bytes([value]) + whole[place + 1 :]), "x")
        except DataError:
            refused += 1
assert refused > 500, refused
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _table_bytes(rows, schema="racctl.counts/1", meta=None):
    out = io.BytesIO()
    write_table(out, table_from_rows(schema, rows, meta))
    return out.getvalue()


ROW = st.fixed_dictionaries(
    {"clip": TEXT, "person": st.integers(0, 9), "count": st.floats(0, 1e3), "low": st.floats(0, 1e3),
     "high": st.floats(0, 1e3), "frames": st.integers(0, 10**9)},
    optional={"density": st.lists(st.floats(0, 1, width=32), max_size=4)},
)  # fmt: skip


@given(st.lists(ROW, max_size=5), TEXT)
@settings(max_examples=60, deadline=None)
def test_a_table_comes_back_as_it_went(rows, clip):
    data = _table_bytes(rows, meta={"clip": clip, "steps": []})
    meta, table = read_table(io.BytesIO(data), "x")
    assert meta == {"clip": clip, "steps": [], "schema": "racctl.counts/1"}
    has_density = any("density" in row for row in rows)
    assert ("density" in table.column_names) == has_density
    expected = [{**row, "density": row.get("density")} if has_density else row for row in rows]
    assert table.to_pylist() == expected
    assert _table_bytes(rows, meta={"clip": clip, "steps": []}) == data


@pytest.mark.parametrize("schema", TABLE_COLUMNS)
def test_every_table_schema_can_be_empty(schema):
    meta, table = read_table(io.BytesIO(_table_bytes([], schema)), "x")
    assert meta["schema"] == schema
    assert table.num_rows == 0


def test_a_missing_column_and_a_wrong_type_are_named():
    import pyarrow as pa

    good = table_from_rows("racctl.counts/1", [])
    for bad, message in (
        (good.drop_columns(["low"]), "lacks the column 'low'"),
        (good.set_column(1, "person", pa.array([], pa.string())), "column 'person' is string"),
    ):
        out = io.BytesIO()
        write_table(out, bad.replace_schema_metadata(good.schema.metadata))
        with pytest.raises(DataError, match=message):
            read_table(out, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyz": np.zeros((20, 1, 33, 3))}, "'xyz' is float64"),
        ({"score": np.zeros((20, 1, 32), np.float32)}, "axis V should be 33"),
        ({"frame": np.zeros(20, np.int64)}, "must be ascending"),
        ({"time": np.full(20, np.nan)}, "not finite"),
        ({"score": np.full((20, 1, 33), 2, np.float32)}, "outside 0..1"),
        ({"xyz": np.full((20, 1, 33, 3), np.inf, np.float32)}, "infinite"),
    ],
)
def test_a_pose_that_breaks_its_contract_is_refused(pose, change, message):
    broken = Pose(**{**pose.arrays(), "meta": pose.meta, **change})
    with pytest.raises(DataError, match=message):
        read_pose(io.BytesIO(pose_bytes(broken)), "x")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"nonsense", b'{"steps": 3}', b'{"steps": [1]}', b'{"clip": 1}', b"[" * 99999, b"\xff"]
)
def test_a_damaged_meta_document(raw):
    with pytest.raises(DataError):
        load_meta(raw, "x")


def test_meta_bytes_do_not_depend_on_the_order_of_keys():
    assert dump_meta({"b": 1, "a": [2]}) == dump_meta({"a": [2], "b": 1}) == b'{"a":[2],"b":1}'


def test_member_sizes_are_checked_before_anything_is_allocated():
    member, out = io.BytesIO(), io.BytesIO()
    np.save(member, np.zeros(8, np.uint8))
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.npy", member.getvalue().replace(b"(8,), }" + 12 * b" ", b"(8" + 12 * b"0" + b",), }"))
    with pytest.raises(DataError, match="declares an array of shape"):
        read_arrays(out, "x")


def test_an_npz_of_somebody_else():
    out = io.BytesIO()
    np.savez(out, arr_0=np.zeros(3))
    with pytest.raises(DataError, match="without a racctl meta document"):
        read_npz(out, "x")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"), (b"PK\x03\x04", "npz"), (b"PAR1", "parquet"), (b"\x93NUMPY\x01", "npy"),
        (b"\x00\x00\x00\x18ftypisom", "video"), (b"\x1a\x45\xdf\xa3", "video"), (b"RIFF....AVI LIST", "video"),
        (b"  {", "json"), (b"clip,count\n", "text"), ("ü,ö\n".encode(), "text"), (b"\x00\x01\x02\xff", "unknown"),
        ((16).to_bytes(8, "little") + b'{"a":1}', "safetensors"),
        (b"x" * 4095 + "ü".encode(), "text"),
    ],
)  # fmt: skip
def test_what_a_file_is_by_its_first_bytes(head, kind):
    file = io.BytesIO(b"?" + head)
    file.seek(1)
    assert sniff(file) == kind
    assert file.tell() == 1


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise DataError("stop")

    with pytest.raises(DataError, match="stop"):
        write_file(target, fail)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_current_means_same_input_and_same_steps(tmp_path, pose):
    path = tmp_path / "p.npz"
    steps = [{"tool": "pose", "version": "1", "args": {"stride": 1}}]
    pose = Pose(**pose.arrays(), meta={"source": {"sha256": "ab"}, "steps": steps})
    assert not is_current(path, "ab", steps)
    path.write_bytes(pose_bytes(pose))
    assert is_current(path, "ab", steps)
    assert not is_current(path, "cd", steps)
    assert not is_current(path, "ab", [{**steps[0], "version": "2"}])
    path.write_bytes(pose_bytes(pose)[:100])
    assert not is_current(path, "ab", steps)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.mp4", "a"), ("dir/a.pose.npz", "a"), ("c:\\v\\b.MOV", "b"), ("x_0.00000_6.91525", "x_0.00000_6.91525"),
     ("a.b.mp4", "a.b"), (".mp4", ".mp4"), ("plain", "plain"), ("squat.265", "squat"), ("a.csv", "a"),
     ("keypoints.json", "keypoints"), ("a.pose.csv", "a"),
     ("9m9b5cdDcJQ_0.00000_6.265", "9m9b5cdDcJQ_0.00000_6.265"), ("9m9b5cdDcJQ_0.0_6.9.mts", "9m9b5cdDcJQ_0.0_6.9"),
     *((f"dir/a{suffix.upper()}", "a") for suffix in VIDEO_SUFFIXES)],
)  # fmt: skip
def test_the_name_of_a_clip(name, stem):
    assert clip_stem(name) == stem


def test_the_main_person_is_the_track_that_the_meta_document_names_else_the_one_seen_largest():
    joints = np.zeros((3, 2, 33, 3), np.float32)
    joints[:, 0] = np.linspace(0, 10, 99).reshape(33, 3)
    joints[:, 1] = np.linspace(0, 100, 99).reshape(33, 3)
    score = np.ones((3, 2, 33), np.float32)
    track = np.array([4, 9], np.int32)
    for meta, expected in (({}, 1), ({"main": 4}, 0), ({"main": 9}, 1), ({"main": 7}, 1), ({"main": [4]}, 1)):
        pose = Pose(joints, score, np.arange(3), np.arange(3) / 30, track, meta)
        assert pose.chosen("main") == [expected]
