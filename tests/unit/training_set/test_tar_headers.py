import io
import tarfile

import pytest

from memex_audit.training_set.tar_headers import read_headers

LONG = "/".join(["a-folder-of-a-long-name"] * 12) + "/picture.png"


def tar(members, kind, **options):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind, **options) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def member(name, kind=tarfile.REGTYPE, **fields):
    found = tarfile.TarInfo(name)
    found.type = kind
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def headers(data):
    return list(read_headers(io.BufferedReader(io.BytesIO(data))))


FILES = [
    (member("a.png"), b"1" * 700),
    (member("folder", tarfile.DIRTYPE), b""),
    (member("folder/b.txt", mtime=1.5), b""),
    (member("link.png", tarfile.SYMTYPE, linkname="a.png"), b""),
    (member("hard.png", tarfile.LNKTYPE, linkname="a.png"), b""),
    (member("caf\xe9.png", uname="caf\xe9"), b"2" * 512),
]
LONG_FILES = [(member(LONG), b"x"), (member("l", tarfile.SYMTYPE, linkname=LONG), b""), *FILES]


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        (tarfile.USTAR_FORMAT, [(member("/".join(["d" * 60, "e" * 60, "f.png"])), b"3"), *FILES]),
        (tarfile.GNU_FORMAT, LONG_FILES),
        (tarfile.PAX_FORMAT, LONG_FILES),
        (tarfile.PAX_FORMAT, []),
    ],
    ids=["ustar", "gnu", "pax", "nothing"],
)
def test_every_kind_of_tar_is_read_as_tarfile_reads_it(kind, files):
    data = tar(files, kind, **({"pax_headers": {"comment": "of all"}} if files is LONG_FILES else {}))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = [(m.name, m.isreg(), m.isdir(), m.offset_data, m.size) for m in archive]
    found = [(h.name.rstrip("/"), h.is_regular, h.is_folder, h.offset, h.size) for h in headers(data)]
    assert found == expected
    assert len(found) == len(files)


def test_a_file_of_more_than_eight_gigabytes_has_its_size():
    header = member("a.png", size=9 << 30).tobuf(tarfile.GNU_FORMAT)
    found = read_headers(io.BufferedReader(io.BytesIO(header)))
    assert next(found).size == 9 << 30
    with pytest.raises(ValueError, match="unexpected end of data"):
        next(found)


def test_folders_of_version_seven_are_told_by_their_names():
    found = headers(tar([(member("folder/", tarfile.AREGTYPE), b"")], tarfile.USTAR_FORMAT))
    assert [(h.is_folder, h.is_regular) for h in found] == [(True, False)]


@pytest.mark.parametrize("at", [0, 1024], ids=["first", "in the middle"])
def test_a_header_that_is_none_is_an_error_wherever_it_stands(at):
    data = bytearray(tar([(member(name), b"1") for name in "abc"], tarfile.USTAR_FORMAT))
    data[at] ^= 1
    with pytest.raises(ValueError, match=rf"no header of a file at byte {at:,}"):
        headers(bytes(data))
    data[at + 148 : at + 156] = b"notoctal"
    with pytest.raises(ValueError, match="no header of a file"):
        headers(bytes(data))


@pytest.mark.parametrize(
    ("length", "reason"),
    [(0, "empty file"), (100, "a header that is cut short"), (520, "unexpected end of data"), (1024, None)],
)
def test_a_tar_that_is_cut_short_says_where(length, reason):
    data = tar([(member("a"), b"1" * 10)], tarfile.USTAR_FORMAT)[:length]
    if reason is None:  # only the blocks that mark its end are missing
        assert [h.name for h in headers(data)] == ["a"]
        return
    with pytest.raises(ValueError, match=reason):
        headers(data)


def test_a_checksum_of_signed_bytes_will_do():
    data = bytearray(tar([(member("caf\xe9"), b"")], tarfile.USTAR_FORMAT))
    block = bytes(data[:148]) + b" " * 8 + bytes(data[156:512])
    signed = sum(byte - 256 * (byte > 127) for byte in block)
    data[148:156] = f"{signed:06o}\0 ".encode()
    assert [h.name for h in headers(bytes(data))] == ["caf\xe9"]


@pytest.mark.parametrize("record", [b"9999 path=x\n", b"x path=y\n", b"5 a"])
def test_an_extended_header_that_is_none_is_an_error(record):
    extended = member("x", tarfile.XHDTYPE, size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    data = extended + record.ljust(512, b"\0") + member("a").tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    with pytest.raises(ValueError, match="an extended header that is none"):
        headers(data)
