"""Stores that somebody wrote to do harm: refused on opening, before anything large is read or another file is opened.

Each is crafted with h5py from a sound one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_store import CLASSES, edit, rewrite, write_small

from interbert.store.format import FIELDS
from interbert.store.store import Store, StoreError
from interbert.store.verify import verify

ROOT = Path(__file__).parents[3]
DATASETS = (
    "image_ids",
    *(name for name in FIELDS if not name.startswith(("labels", "confidence", "class_head", "attributes"))),
)


@pytest.fixture
def path(tmp_path):
    return write_small(tmp_path / "small.h5")


def refused(path, *words):
    with pytest.raises(StoreError) as error:
        Store(path)
    for word in (str(path), *words):
        assert word in str(error.value), error.value


def replace_ids(path, dtype, shape=(12,), **how):
    with edit(path) as file:
        del file["image_ids"]
        return file.create_dataset("image_ids", shape, dtype, **how).name


@pytest.mark.parametrize("name", DATASETS)
def test_external_storage_is_never_followed(path, tmp_path, name):
    with edit(path) as file:
        shape, dtype = file[name].shape, file[name].dtype
        elsewhere = tmp_path / "elsewhere.bin"
        elsewhere.write_bytes(b"x" * (int(np.prod(shape)) * dtype.itemsize))
        del file[name]
        file.create_dataset(name, shape, dtype, external=[(str(elsewhere), 0, h5py.h5f.UNLIMITED)])
    before = os.stat(elsewhere).st_atime_ns
    refused(path, f"'{name}'", "not contiguous")
    assert os.stat(elsewhere).st_atime_ns == before


@pytest.mark.parametrize("name", DATASETS)
def test_virtual_datasets_are_refused(path, tmp_path, name):
    other = write_small(tmp_path / "other.h5")
    with edit(path) as file:
        shape, dtype = file[name].shape, file[name].dtype
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(str(other), name, shape, dtype)
        del file[name]
        file.create_virtual_dataset(name, layout)
    refused(path, f"'{name}'", "not contiguous")


@pytest.mark.parametrize("kind", ["soft", "external", "to a pipe"])
@pytest.mark.parametrize("name", [*DATASETS, "captions", "swapped"])
def test_links_are_refused_and_what_they_lead_to_is_not_opened(path, tmp_path, name, kind):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    write_small(tmp_path / "other.h5")
    with edit(path) as file:
        file.move(name, "elsewhere")
        if kind == "soft":
            file[name] = h5py.SoftLink("/elsewhere")
        else:
            file[name] = h5py.ExternalLink(
                str(tmp_path / ("other.h5" if kind == "external" else "pipe")), name
            )
    refused(path, f"'{name}'", "a link")


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("how", ["chunked", "compressed", "compact"])
def test_every_dataset_lies_in_one_piece(path, name, how):
    with edit(path) as file:
        values = file[name][:]
        dtype, shape = file[name].dtype, file[name].shape
        del file[name]
        if how == "compact":
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_layout(h5py.h5d.COMPACT)
            kind, space = h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(shape)
            h5py.h5d.create(file.id, name.encode(), kind, space, creation)
        else:
            more = {"compression": "gzip"} if how == "compressed" else {}
            file.create_dataset(name, data=values, dtype=dtype, chunks=True, **more)
    refused(path, f"'{name}'", "not contiguous")


def small_memory(path, code: str = "") -> str:
    """What a process that may take little memory says of the store."""
    program = (
        "import resource, sys; from interbert.store.store import Store, StoreError\n"
        f"{code}"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try: Store({str(path)!r}); said = 'opened'\n"
        "except StoreError as error: said = str(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, said)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    kilobytes, _, said = done.stdout.partition(" ")
    assert int(kilobytes) < 40_000, said
    return said


@pytest.mark.parametrize("how", ["compressed", "never written", "wide", "one string"])
def test_a_small_file_makes_no_gigabytes_of_ids(path, how):
    if how == "one string":  # of 200 kB, which every row is
        with edit(path) as file:
            del file["image_ids"]
            ids = file.create_dataset("image_ids", (12,), h5py.string_dtype())
            ids[0] = "x" * 200_000
            place = ids.id.get_offset()
        with open(path, "r+b") as file:
            file.seek(place)
            first = file.read(16)
            file.seek(place)
            file.write(first * 12)
        word = "an id of 200000 bytes"
    elif how == "compressed":
        replace_ids(path, "S1400", (1_000_000,), chunks=(1000,), compression="gzip")
        word = "not contiguous"
    elif how == "wide":
        replace_ids(path, "S100000000")
        word = "100000000 bytes"
    else:
        replace_ids(path, "S200", (10_000_000,), fillvalue=b"x")
        word = "not written"
    assert path.stat().st_size < 1_000_000
    assert word in small_memory(path)


def test_ids_of_one_string_are_doubles(path):
    with edit(path) as file:
        del file["image_ids"]
        file["image_ids"] = ["the only one"] * 12
    refused(path, "duplicate id 'the only one' in rows 0 and 1")


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize(
    ("name", "word"),
    [(b"", "row 5: the id is empty"), (b"x" * 256, "row 5: an id of 256 bytes"), (b"\xff\xfe", "not UTF-8")],
)
def test_ids_that_are_none(path, name, word, variable):
    names = [b"%d" % i for i in range(12)]
    names[5] = name
    dtype = h5py.string_dtype(length=None if variable else 256)
    with edit(path) as file:
        del file["image_ids"]
        file.create_dataset("image_ids", data=np.array(names, object if variable else dtype), dtype=dtype)
    refused(path, "'image_ids'", word)


@pytest.mark.parametrize("dtype", ["<i8", "V16", "object"])
def test_ids_of_another_type(path, dtype):
    kind = h5py.ref_dtype if dtype == "object" else dtype
    rewrite(path, "image_ids", np.zeros(12, dtype if dtype != "object" else "<i4"))
    if dtype == "object":
        replace_ids(path, kind)
    refused(path, "'image_ids'", "must be UTF-8 strings")


@pytest.mark.parametrize("shape", [(1, 2**62), (2**61, 8), (0, 2**60)])
def test_sizes_that_run_over(path, shape):
    """The product of these is 0 in 64 bits, or nothing at all."""
    with edit(path) as file:
        del file["features"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.CONTIGUOUS)
        space = h5py.h5s.create_simple(shape)
        try:
            h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F16LE, space, creation)
        except (ValueError, OSError):
            pytest.skip("HDF5 does not write such a file")
    refused(path, "'features'")


@pytest.mark.parametrize("name", ["feature_width", "classes"])
@pytest.mark.parametrize("value", [2**20 + 1, np.uint64(2**63)])
def test_a_model_of_any_size_is_not_asked_for(path, name, value):
    with edit(path) as file:
        file.attrs[name] = value
    refused(path, f"'{name}'", f"{int(value)}; 1,048,576 is the most")


@pytest.mark.parametrize("name", ["schema", "version", "classes", "class_names", "source", "index_checksum"])
@pytest.mark.parametrize(
    "value", [["x"] * 3, h5py.Empty("S3"), 1.5, np.zeros((), [("a", "i4")]), np.array([1, 2])], ids=str
)
def test_attributes_that_are_not_one_value(path, name, value):
    with edit(path) as file:
        file.attrs[name] = value
    refused(path, f"'{name}'", "neither one text nor one whole number")


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a", "b", 3, "d", "e"], "name 2 is '3', no text"),
        (["a", ["b"], "c", "d", "e"], "name 1 is"),
        (["a", None, "c", "d", "e"], "name 1 is 'None'"),
        (["a", "b", "c", "d", "\ud800"], "name 4 is '\\ud800'"),
        ({"a": 1}, "list of 5"),
        ("abcde", "list of 5"),
    ],
)
def test_class_names_that_are_no_strings(path, names, word):
    with edit(path) as file:
        file.attrs["class_names"] = json.dumps(names)
    refused(path, "'class_names'", word, "correct or drop it")


def test_class_names_nested_without_end(path):
    with edit(path) as file:
        file.attrs["class_names"] = "[" * 20_000
    refused(path, "'class_names'", "no JSON")


@pytest.mark.parametrize("label", [CLASSES, -1, 2**31 - 1])
def test_labels_beyond_the_classes(tmp_path, label):
    path = write_small(tmp_path / "labels.h5", evidence="labels")
    with edit(path) as file:
        row = int(file["offsets"][7]) + 1
        file["labels"][row] = label
    refused(path, "'labels'", f"row {row}, image 'image-7' (region 1): label {label} of {CLASSES} classes")


def test_offsets_whose_difference_runs_over(path):
    """From the largest number to the smallest is a rise by one, to 64 bits."""
    with edit(path) as file:
        file["offsets"][5:7] = [2**63 - 1, -(2**63)]
    refused(path, "'offsets'", "row 4")


def test_types_that_only_look_alike(path):
    """Of the right size and of another layout: read by offset they would be other numbers."""
    kind = h5py.h5t.IEEE_F16LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_ebias(127)
    with edit(path) as file:
        shape = file["features"].shape
        del file["features"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        h5py.h5d.create(file.id, b"features", kind, h5py.h5s.create_simple(shape), creation)
    refused(path, "'features'", "type")


def test_a_pipe_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    refused(tmp_path / "pipe.h5", "a device or a pipe")


def test_names_in_a_group_that_is_none(path):
    with edit(path) as file:
        del file["captions"], file["swapped"]
        file["captions"] = np.zeros(3)
    refused(path, "'captions'", "not a group")


# What is in a store, whatever it says of itself.


def lie(path, name, change):
    """Change some values, and no checksum."""
    with edit(path) as file:
        file[name][...] = change(file[name][...])


def fingerprints(path):
    with Store(path) as store:
        return store.fingerprint, store.earlier_fingerprint


@pytest.mark.parametrize("name", ["features", "boxes", "class_probs", "captions/text", "swapped/text"])
def test_the_fingerprint_follows_content_and_not_what_is_said_of_it(path, name):
    sound = fingerprints(path)
    assert sound[0] == sound[1], "of a sound store it is the one of earlier versions"
    lie(
        path,
        name,
        lambda values: np.where(
            np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1)) == 4, values[::-1], values
        ),
    )
    changed = fingerprints(path)
    assert changed[0] != sound[0] and changed[1] == sound[1]
    assert not verify(path).ok


def test_swapped_texts_without_checksums_are_in_the_fingerprint_too(path):
    with edit(path) as file:
        del file["swapped/checksums"]
    before = fingerprints(path)
    lie(path, "swapped/text", lambda text: np.roll(text, 1))
    after = fingerprints(path)
    assert after[0] != before[0] and after[1] == before[1]


def test_wrong_checksums_alone_do_not_make_other_data(path):
    sound = fingerprints(path)
    lie(path, "checksums", lambda sums: sums * 0)
    lie(path, "captions/checksums", lambda sums: sums + 1)
    changed = fingerprints(path)
    assert changed[0] == sound[0] and changed[1] != sound[1]


def test_of_a_large_store_some_images_are_read(path, monkeypatch):
    monkeypatch.setattr("interbert.store.fingerprint.WHOLE_BYTES", 0)
    monkeypatch.setattr("interbert.store.fingerprint._SPREAD", 2)
    sound = fingerprints(path)
    assert sound[0] == sound[1]
    with edit(path) as file:
        places = file["offsets"][:]
    for image, seen in ((0, True), (5, False), (11, True)):
        before = path.read_bytes()
        with edit(path) as file:
            file["features"][int(places[image]), 3] += 1
        assert (fingerprints(path)[0] != sound[0]) == seen
        path.write_bytes(before)
