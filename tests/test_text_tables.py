"""Text files as people have them: Excel's sep= line, UTF-16, quoted delimiters; and what is said of other encodings."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from racctl.data.labelled import read_labelled
from racctl.data.predictions import read_predictions
from racctl.data.tables import read_text
from racctl.data.truth import read_clips
from racctl.errors import DataError
from racctl.info import describe
from racctl.io.poses.formats import load_pose
from racctl.io.sniff import sniff

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
COUNTS = "clip,count\nKniebeuge ä,3\nb,4\n"
SEGMENTS = "clip,start,stop,label\na,0,1.5,squat\nb,0,2,lunge\n"
POSE = "frame,nose_x,nose_y\n0,10,20\n1,11,21\n2,12,22\n"


def saved(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "t"
    path.write_bytes(text.encode(encoding))
    return str(path)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_reader_of_text_takes_every_utf(tmp_path, encoding):
    assert [row.count for row in read_clips(saved(tmp_path, COUNTS, encoding))[0]] == [3, 4]
    assert read_clips(str(tmp_path / "t"))[0][0].clip == "Kniebeuge ä"
    assert [row.count for row in read_predictions([saved(tmp_path, COUNTS, encoding)]).counts] == [3, 4]
    assert [clip.labels for clip in read_labelled(saved(tmp_path, SEGMENTS, encoding))] == [["squat"], ["lunge"]]
    assert load_pose(saved(tmp_path, POSE, encoding)).xyz[2, 0, 0, 0] == 12
    document = '{"people": [{"pose_keypoints_2d": []}]}'
    assert load_pose(saved(tmp_path, document, encoding)).topology == "openpose25"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("line", "delimiter"), [("sep=;", ";"), ('"sep=;"', ";"), ("SEP=|", "|"), ("sep=\t", "\t"), ("sep=,", ",")]
)
def test_excels_separator_line_is_taken_at_its_word(tmp_path, line, delimiter, end):
    rows = [line, *(row.replace(",", delimiter) for row in COUNTS.splitlines())]
    table = read_text(io.BytesIO(end.join([*rows, ""]).encode()), "t")
    assert (table.header, table.text("count"), table.lines) == (("clip", "count"), ["3", "4"], [3, 4])
    rows = [line, *(row.replace(",", delimiter) for row in POSE.splitlines())]
    assert load_pose(saved(tmp_path, end.join(rows))).frame.tolist() == [0, 1, 2]


@pytest.mark.parametrize("first", ["", "sep=,\n"])
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path, first):
    line = 3 if first else 2
    with pytest.raises(DataError, match=f"line {line + 1}, has a quote .* that nothing closes"):
        read_clips(saved(tmp_path, f'{first}clip,count\na,1\n"b,3\nc,4\n'))
    assert [row.clip for row in read_clips(saved(tmp_path, f'{first}clip,count\n"a\nb" ,1\n"c",2'))[0]] == ["a\nb", "c"]


def test_errors_name_the_line_of_the_file_whatever_comes_first(tmp_path):
    with pytest.raises(DataError, match="line 4, has 'x' in column 'count'"):
        read_clips(saved(tmp_path, "sep=;\nclip;count\na;1\nb;x\n"))


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ('"clip, name";count\na;1\n', ("clip, name", "count")),
        ('"a;b;c",count\nx,1\n', ("a;b;c", "count")),
        ('"a ""b"", c, d";e\nx;1\n', ('a "b", c, d', "e")),
        ("clip;count, all\na;1\nb;2\n", ("clip", "count, all")),
        ("clip, name;count\na;1\nb;2\n", ("clip, name", "count")),
        ("clip,count\n", None),
    ],
)
def test_only_delimiters_outside_quotes_count(text, header):
    if header is None:
        with pytest.raises(DataError, match="a table without rows"):
            read_text(io.BytesIO(text.encode()), "t")
    else:
        assert read_text(io.BytesIO(text.encode()), "t").header == header


@pytest.mark.parametrize("before", ["", "x,1\n" * 3000])  # within and beyond what tells the kind of a file
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_named_with_the_way_out(tmp_path, encoding, before):
    start = len(f"clip,count\n{before}Kniebeuge ")
    for read in (lambda path: read_clips(path), lambda path: read_predictions([path]), load_pose, describe):
        path = saved(tmp_path, f"clip,count\n{before}Kniebeuge ä,3\n", encoding)
        with pytest.raises(DataError) as caught:
            read(path)
        if read is not describe:  # which reads no text
            assert f"is not UTF-8 text: byte {start} is 0xe4, as in Latin-1 or Windows-1252; save it as UTF-8" in str(
                caught.value
            )
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_labelled(saved(tmp_path, "clip,label\nä,squat\n", encoding))


def test_a_character_at_the_border_of_two_pieces_is_no_error(monkeypatch):
    monkeypatch.setattr("racctl.io.text.TEXT_CHUNK_BYTES", 7)
    text = "clip,count\n" + "".join(f"ä€😀{k},{k}\n" for k in range(50))
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):  # so few Latin letters need a mark
        assert read_text(io.BytesIO(text.encode(encoding)), "t").text("clip")[-1] == "ä€😀49"
    with pytest.raises(DataError, match=r"byte 19 is 0xff"):
        read_text(io.BytesIO("clip,count\nä€1,1".encode() + b"\xff,2\n"), "t")
    with pytest.raises(DataError, match=r"'t' is not whole UTF-16 text"):
        read_text(io.BytesIO(text.encode("utf-16")[:-1]), "t")


@pytest.mark.parametrize(
    "first", ["[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "docProps/app.xml", "mimetype"]
)
def test_a_workbook_is_told_how_to_become_a_table(tmp_path, first):
    path = tmp_path / "book.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, "<xml/>")
    for read in (read_clips, load_pose, describe, lambda path: read_predictions([path]), read_labelled):
        with pytest.raises(DataError, match=r"is a spreadsheet; save the sheet as CSV \('CSV UTF-8' in Excel\)"):
            read(str(path))
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DataError, match="is a spreadsheet"):
        read_clips(str(path))


def test_arrays_and_noise_are_no_text():
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    out.seek(0)
    assert sniff(out) == "npz"
    small = np.arange(1, 400, dtype="<u2")  # every second byte is 0 of many, as in UTF-16
    assert sniff(io.BytesIO(small.tobytes())) == "unknown"
    assert sniff(io.BytesIO(np.random.default_rng(0).bytes(3000))) == "unknown"
