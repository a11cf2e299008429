"""Groups read where they lie against the same by HDF5; and that all else is left to it."""

import os

import h5py
import numpy as np
import pytest

from interbert.sources.foreign_files.hdf5 import array_in, bytes_of, place_of, values_in
from interbert.sources.foreign_files.hdf5_groups import SmallGroups
from interbert.sources.foreign_files.lying import Bytes, LyingArray
from interbert.sources.record import ImportFault

KINDS = ("<f2", "<f4", "<f8", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8")


def read(path, names, group="17"):
    with h5py.File(path, "r") as file:
        groups = SmallGroups.of(path, bytes_of(file))
        return None if groups is None else groups.arrays(place_of(file, group), frozenset(names))


def plain(group):
    group["features"], group["img_w"] = np.arange(6, dtype="<f4").reshape(2, 3), np.int64(640)


def test_arrays_are_those_of_hdf5(tmp_path):
    """More than one leaf holds the names of, scalars, and what was deleted and written again among them."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(40):
            group = file.create_group(str(number))
            for kind in KINDS:
                group[f"{kind[-2:]} of a long name"] = rng.integers(0, 100, (number + 1, 3)).astype(kind)
            group["scalar"], group["row"] = np.int32(number), rng.random(5)
            del group["row"]
            group["row"] = rng.random(5)
    with h5py.File(tmp_path / "a.h5") as file:
        for name, group in file.items():
            found = read(tmp_path / "a.h5", group, name)
            assert found is not None and set(found) == set(group)
            for field, values in found.items():
                assert values.dtype == group[field].dtype
                np.testing.assert_array_equal(values, group[field][()])
    assert set(read(tmp_path / "a.h5", ["row", "nothing"])) == {"row"}


def external(group, folder):
    (folder / "secret").write_bytes(bytes(4096))
    group.create_dataset("x", (4, 4), "f4", external=[(str(folder / "secret"), 0, 4096)])


def virtual(group, folder):
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "a.h5"), "17/features", (2, 3))
    group.create_virtual_dataset("x", layout)


def named_type(group, folder):
    group.file["type"] = np.dtype("<f4")
    group.create_dataset("x", (2,), group.file["type"])[:] = 1


def large(group, folder):
    group.create_dataset("x", (1 << 30,), "u1", fillvalue=1)


OTHERS = {
    "chunked": lambda group, _: group.create_dataset("x", data=np.ones((4, 4)), chunks=(2, 2)),
    "compressed": lambda group, _: group.create_dataset("x", data=np.ones((4, 4)), compression="gzip"),
    "external": external,
    "virtual": virtual,
    "never written": lambda group, _: group.create_dataset("x", (4, 4), "f4"),
    "large, and never written": large,
    "of the other byte order": lambda group, _: group.create_dataset("x", data=np.ones(3, ">f4")),
    "texts": lambda group, _: group.create_dataset("x", data=["a"]),
    "fields": lambda group, _: group.create_dataset("x", data=np.zeros(2, [("a", "f4")])),
    "booleans": lambda group, _: group.create_dataset("x", data=np.ones(2, bool)),
    "of a named type": named_type,
    "with an attribute": lambda group, _: group.create_dataset("x", data=1).attrs.create("a", 1),
    "empty": lambda group, _: group.create_dataset("x", data=np.zeros((0, 4))),
    "no space": lambda group, _: group.create_dataset("x", data=h5py.Empty("f4")),
    "a group": lambda group, _: group.create_group("x"),
    "a link": lambda group, _: group.__setitem__("x", h5py.SoftLink("features")),
    "a link to a file": lambda group, _: group.__setitem__("x", h5py.ExternalLink("b.h5", "/x")),
    "an attribute of the group": lambda group, _: group.attrs.create("x", 1),
}


@pytest.mark.parametrize("write", OTHERS.values(), ids=OTHERS)
def test_what_is_not_plain_is_left_to_hdf5(write, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plain(file.create_group("17"))
    assert set(read(tmp_path / "a.h5", ["features", "img_w", "x"])) == {"features", "img_w"}
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        write(file["17"], tmp_path)
    assert read(tmp_path / "a.h5", ["features", "img_w", "x"]) is None


def bfloat16():
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    return kind


def twelve_bits():
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(12)
    kind.set_offset(4)
    return kind


@pytest.mark.parametrize("kind", [bfloat16, twelve_bits])
def test_numbers_that_numpy_does_not_have_are_converted(kind, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((4, 3))
        dataset = h5py.h5d.create(file.create_group("17").id, b"x", kind(), space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, -np.arange(12, dtype="f4").reshape(4, 3))
    assert read(tmp_path / "a.h5", ["x"]) is None
    with h5py.File(tmp_path / "a.h5") as file:
        data = bytes_of(file)
        for found in (values_in(file["17"], "x", data), array_in(file["17"], "x", data)[:]):
            np.testing.assert_array_equal(found, -np.arange(12).reshape(4, 3))


@pytest.mark.parametrize("how", [{"libver": "latest"}, {"userblock_size": 512}], ids=str)
def test_files_of_another_build_are_left_to_hdf5(how, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", **how) as file:
        plain(file.create_group("17"))
    assert read(tmp_path / "a.h5", ["features"]) is None


def test_whatever_byte_is_damaged_nothing_comes_from_beyond_the_file(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        plain(file.create_group("17"))
        place = h5py.h5o.get_info(file.id, b"17").addr
    sound, rng, left = path.read_bytes(), np.random.default_rng(0), 0
    for at in rng.integers(place, len(sound), 400).tolist():
        path.write_bytes(sound[:at] + rng.bytes(1) + sound[at + 1 :])
        groups = SmallGroups(path, Bytes(path))  # without HDF5, which would refuse most of them
        try:
            found = groups.arrays(place, frozenset(["features", "img_w"]))
        except ImportFault:
            found = None
        left += found is None
        assert all(values.nbytes <= len(sound) for values in (found or {}).values())
    assert 20 < left < 380


def test_a_file_that_is_cut_after_it_was_opened_is_told(tmp_path):
    """A mapped one would end the process."""
    np.arange(4096, dtype="<f4").tofile(tmp_path / "a.bin")
    array = LyingArray(Bytes(tmp_path / "a.bin"), 1024, (15, 256), np.dtype("<f4"))
    np.testing.assert_array_equal(array[-1], np.arange(3840, 4096))
    np.testing.assert_array_equal(array[2:4], np.arange(768, 1280).reshape(2, 256))
    with pytest.raises(IndexError):
        array[15]
    os.truncate(tmp_path / "a.bin", 8192)
    with pytest.raises(ImportFault, match="ends at byte 8192, where more was"):
        array.whole()
