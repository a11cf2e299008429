"""What writers mean by the fields of their files: types, widths, classes, sizes, boxes."""

import json
import os
import pickle
from pathlib import Path

import foreign
import h5py
import numpy as np
import pytest
from foreign import CLASSES, WIDTH, Image, b64
from foreign_arrays import attributes
from foreign_files import LAYOUTS

from interbert import __main__ as program
from interbert.sources.features.fields.choices import BACKGROUND
from interbert.store.store import Store


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def store_of(tmp_path: Path, *words: object) -> Store:
    bring(*words, "--output", tmp_path / "out.h5", "--overwrite")
    return Store(tmp_path / "out.h5")


def rows_of(store: Store, dataset: str, image_id: str) -> np.ndarray:
    number = store.image_ids.index(image_id)
    return store.read_rows(dataset, *store.offsets[number : number + 2].tolist())


def tsv_of(path: Path, features: list[np.ndarray], probs: list[np.ndarray] | None = None) -> Path:
    """Rows of six or seven columns with these features and two boxes each."""
    boxes = b64(np.array([[0, 0, 9, 9], [1, 1, 5, 5]], np.float32))
    rows = [[b"%d" % n, b"20", b"10", b"2", boxes, b64(rows)] for n, rows in enumerate(features)]
    for row, values in zip(rows, probs or (), strict=False):
        row.append(b64(values))
    path.write_bytes(b"".join(b"\t".join(row) + b"\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("values", ["normal", "rectified", "small", "rounded"])
def test_the_type_behind_base64_is_told_by_the_numbers(kind, values, tmp_path, capsys):
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((9, 2, 64))
    others = {"rectified": np.maximum(wide, 0) ** 2, "small": wide / 500, "rounded": wide.astype("<f2")}
    wide = others.get(values, wide)
    features = list(wide.astype(kind))
    with store_of(tmp_path, "--input", tsv_of(tmp_path / "a.tsv", features)) as store:
        assert store.feature_width == 64
        np.testing.assert_array_equal(rows_of(store, "features", "4"), features[4].astype(np.float16))
    said = capsys.readouterr().out
    assert ("as float32 their bytes make no sense" in said) == (kind != "<f4")


def test_a_type_that_is_not_certain_is_asked_for(tmp_path, capsys):
    rng = np.random.default_rng(3)
    features = list(rng.uniform(0.5, 2, (9, 2, 64)).astype("<f2"))  # as float32: from 2 ** -15 to 2
    words = ("--input", tsv_of(tmp_path / "a.tsv", features))
    bring(*words, "--output", tmp_path / "a.h5", code=2)
    said = capsys.readouterr().err
    assert "a.tsv" in said and "make sense as float32 and as float16" in said and "--feature-width" in said
    for width, kind in ((64, "<f2"), (32, "<f4")):
        with store_of(tmp_path, *words, "--feature-width", width) as store:
            wanted = np.frombuffer(features[2].tobytes(), kind).reshape(2, width).astype(np.float16)
            np.testing.assert_array_equal(rows_of(store, "features", "2"), wanted)
    bring(*words, "--output", tmp_path / "a.h5", "--feature-width", 33, code=2)


@pytest.mark.parametrize("kind", ["<f2", "<f4"])
def test_probabilities_without_background_are_completed(kind, tmp_path, capsys):
    rng = np.random.default_rng(5)
    features = list(rng.standard_normal((9, 2, 64)).astype(kind))
    whole = rng.dirichlet(np.ones(7), (9, 2))
    path = tsv_of(tmp_path / "a.tsv", features, list(whole[..., 1:].astype(kind)))
    with store_of(tmp_path, "--input", path) as store:
        assert "without background" in capsys.readouterr().out and store.classes == 7
        order = np.argsort(-whole[3, :, 1:].max(axis=1).astype(kind), kind="stable")
        np.testing.assert_allclose(rows_of(store, "class_probs", "3"), whole[3][order], atol=2e-3)
    path = tsv_of(tmp_path / "b.tsv", features, list(whole.astype(kind)))
    with store_of(tmp_path, "--input", path) as store:
        assert "background" not in capsys.readouterr().out and store.classes == 7


def test_a_sure_detectors_probabilities_lack_their_background_all_the_same(tmp_path, capsys):
    """Of the first regions most are as good as certain: their sums are nearly 1."""
    rng = np.random.default_rng(5)
    whole = np.tile(np.array([0.0, 0.9, 0.1, 0], np.float32), (9, 2, 1))
    whole[:, 1] = [0.1, 0.8, 0.1, 0]
    whole[:, 1, 0] = rng.uniform(0.06, 0.3, 9)
    whole[:, 1, 1] = 0.9 - whole[:, 1, 0]
    features = list(rng.standard_normal((9, 2, 64)).astype(np.float32))
    path = tsv_of(tmp_path / "a.tsv", features, list(np.ascontiguousarray(whole[..., 1:])))
    with store_of(tmp_path, "--input", path) as store:
        assert "without background" in capsys.readouterr().out and store.classes == 4
        np.testing.assert_allclose(rows_of(store, "class_probs", "3"), whole[3], atol=1e-3)


def test_a_single_region_has_a_distribution_and_not_a_confidence(tmp_path):
    probs = np.array([[0.2, 0.5, 0.3]], np.float32)
    item = {"bbox": np.array([[0, 0, 9, 9]]), "image_width": 10, "image_height": 10, "cls_prob": probs}
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "1.npy", item | {"features": np.ones((1, WIDTH), np.float32)})
    with store_of(tmp_path, "--input", tmp_path / "in") as store:
        assert store.evidence == "class_probs"
        np.testing.assert_allclose(rows_of(store, "class_probs", "1"), probs, atol=1e-3)


def uniter_records(folder: Path, made: list[Image]) -> None:
    """An LMDB of all the boxes, and what UNITER lays beside it."""
    folder.mkdir(parents=True)
    foreign.write_uniter_lmdb(folder / "all", made)


def counts_of(store: Store) -> dict[str, int]:
    return dict(zip(store.image_ids, np.diff(store.offsets).tolist(), strict=True))


def test_uniters_reader_keeps_as_many_boxes_and_so_do_we(tmp_path, capsys):
    made = foreign.images(6, regions_each=30)
    uniter_records(tmp_path / "flickr30k", made)
    sure = {i.name: max(10, int((i.confidence.astype(np.float16) > 0.2).sum())) for i in made}
    for given in (tmp_path / "flickr30k", tmp_path / "flickr30k" / "all"):
        with store_of(tmp_path, "uniter-lmdb", "--input", given) as store:
            assert counts_of(store) == sure and "surer than 0.2" in capsys.readouterr().out
    counts = {f"{image.name}.npz": 12 + n for n, image in enumerate(made)}
    (tmp_path / "flickr30k" / "nbb_th0.2_max100_min10.json").write_text(json.dumps(counts))
    with store_of(tmp_path, "auto", "--input", tmp_path / "flickr30k") as store:
        assert counts_of(store) == {image.name: 12 + n for n, image in enumerate(made)}
        kept = made[0].features[:12].astype(np.float16)
        order = np.argsort(-made[0].confidence[:12].astype(np.float16), kind="stable")
        np.testing.assert_array_equal(rows_of(store, "features", made[0].name), kept[order])
    assert "nbb_th0.2" in capsys.readouterr().out
    os.rename(tmp_path / "flickr30k" / "all", tmp_path / "flickr30k" / "feat_numbb20")
    with store_of(tmp_path, "auto", "--input", tmp_path / "flickr30k" / "feat_numbb20") as store:
        assert set(counts_of(store).values()) == {20}


def test_keys_that_are_listed_twice_or_not_at_all_are_told(tmp_path, capsys):
    made = foreign.images(6)
    LAYOUTS["resumed-lmdb"].write(tmp_path, made)
    with store_of(tmp_path, "--input", tmp_path / "l") as store:
        assert store.images == 6
    assert "1 keys are listed again (such as '000017')" in capsys.readouterr().out
    foreign.write_lmdb(tmp_path / "l", {b"keys": pickle.dumps([image.name.encode() for image in made[:4]])})
    with store_of(tmp_path, "--input", tmp_path / "l") as store:
        assert store.images == 4
    assert "2 records are not in its list of keys" in capsys.readouterr().out


def test_an_image_is_called_by_its_key_where_its_record_has_no_name(tmp_path):
    (image,) = foreign.images(1)
    item = {
        "img_w": 200,
        "img_h": 100,
        "num_boxes": len(image.boxes),
        "bbox": image.boxes,
        "x": image.features,
    }
    item |= {"obj_id": image.labels, "obj_conf": image.confidence}
    foreign.write_lmdb(tmp_path / "l", {b"train/a.b": pickle.dumps(item)})
    with store_of(tmp_path, "--input", tmp_path / "l", "--classes", CLASSES) as store:
        order = np.argsort(-image.confidence, kind="stable")
        np.testing.assert_array_equal(rows_of(store, "labels", "train/a.b"), image.labels[order])


class Evil:
    def __reduce__(self):
        return os.system, ("touch hacked",)


def npz_with(path: Path, info: object) -> None:
    np.savez(
        path, x=np.zeros((1, WIDTH), np.float32), bbox=np.zeros((1, 4)), info=np.array(info, dtype=object)
    )


def test_pickles_in_every_file_are_restricted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("npz", "npy", "info"):
        (tmp_path / name).mkdir()
    npz_with(tmp_path / "npz" / "1.npz", {"image_id": Evil()})
    np.save(tmp_path / "npy" / "1.npy", {"features": Evil()})
    np.save(tmp_path / "info" / "1.npy", np.zeros((1, WIDTH), np.float32))
    np.save(tmp_path / "info" / "1_info.npy", {"bbox": Evil()})
    foreign.write_lmdb(tmp_path / "l", {b"1": pickle.dumps([Evil()] * 8)})
    for name in ("npz", "npy", "info", "l"):
        layout = "tensorpack-lmdb" if name == "l" else "image-files"
        bring(layout, "--input", tmp_path / name, "--output", tmp_path / "a.h5", code=2)
        assert "asks for posix.system" in capsys.readouterr().err, name
    foreign_butd = LAYOUTS["butd"].write(tmp_path, foreign.images(3, 4))
    (tmp_path / "train36_imgid2idx.pkl").write_bytes(pickle.dumps({1: Evil()}))
    bring("butd-h5", "--input", *foreign_butd, "--output", tmp_path / "a.h5", code=2)
    assert "asks for posix.system" in capsys.readouterr().err
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("written_as", ["lines", "json", "map"])
def test_class_names_come_from_a_file(written_as, tmp_path, capsys):
    made = foreign.images(5)
    names = [f"name {n}" for n in range(CLASSES)]
    texts = {
        "lines": "\n".join(names[1:]) + "\n",  # without the background, as Visual Genome's
        "json": json.dumps(names),
        "map": json.dumps({"label_to_idx": {name: n for n, name in enumerate(names)}}),
    }
    (tmp_path / "names").write_text(texts[written_as])
    foreign.write_tsv(tmp_path / "a.tsv", made, kind="probs")
    words = ("--input", tmp_path / "a.tsv", "--class-names", tmp_path / "names")
    with store_of(tmp_path, *words) as store:
        assert store.class_names == ([BACKGROUND] if written_as == "lines" else names[:1]) + names[1:]
    (tmp_path / "names").write_text("only one\n")
    bring(*words, "--output", tmp_path / "b.h5", code=2)
    assert "class names for 5 classes" in capsys.readouterr().err


def test_vinvls_names_are_numbered_by_the_users_map(tmp_path, capsys):
    made = foreign.images(5)
    (inputs,) = LAYOUTS["vinvl"].write(tmp_path, made)
    tree = {"label_to_idx": {f"class {n}": 5 - n for n in range(CLASSES)}}
    tree["attribute_to_idx"] = {f"attribute {n}": n + 1 for n in range(4)}
    (tmp_path / "map.json").write_text(json.dumps(tree))
    with store_of(tmp_path, "--input", inputs, "--class-names", tmp_path / "map.json") as store:
        order = np.argsort(-made[0].confidence, kind="stable")
        np.testing.assert_array_equal(rows_of(store, "labels", made[0].name), 5 - made[0].labels[order])
        assert store.class_names == ["__background__", *(f"class {n}" for n in (4, 3, 2, 1, 0))]
        found = rows_of(store, "attributes/label", made[0].name)
        np.testing.assert_array_equal(found, attributes(made[0])[order] + 1)
        assert store.attribute_names == ["__background__", *(f"attribute {n}" for n in range(4))]
    (tmp_path / "map.json").write_text(json.dumps({"label_to_idx": {"class 0": 0}}))
    bring("--input", inputs, "--output", tmp_path / "b.h5", "--class-names", tmp_path / "map.json", code=2)
    assert "is not among the names of --class-names" in capsys.readouterr().err


@pytest.mark.parametrize("written_as", ["coco", "csv", "lines"])
def test_sizes_come_from_a_file(written_as, tmp_path, capsys):
    made = foreign.images(4)
    LAYOUTS["cocobu"].write(tmp_path, made)
    for image in made:  # as they are written: in pixels
        np.save(tmp_path / "cocobu_box" / f"{image.name}.npy", image.boxes)
    words = ("--input", tmp_path / "cocobu_att")
    bring(*words, "--output", tmp_path / "b.h5", code=2)
    assert "give --sizes FILE" in capsys.readouterr().err
    rows = [
        {"id": n, "file_name": f"{image.name}.jpg", "width": 200, "height": 100}
        for n, image in enumerate(made)
    ]
    texts = {
        "coco": json.dumps({"images": rows}),
        "lines": "\n".join(map(json.dumps, rows)),
        "csv": "image_id,width,height\n" + "".join(f"{image.name},200,100\n" for image in made),
    }
    (tmp_path / "sizes").write_text(texts[written_as])
    with store_of(tmp_path, *words, "--sizes", tmp_path / "sizes") as store:
        assert store.sizes.tolist() == [[200, 100]] * 4
        np.testing.assert_array_equal(rows_of(store, "boxes", made[2].name), made[2].boxes)


def test_sizes_by_numbers_are_those_of_ids_that_end_in_them(tmp_path):
    """UNITER's names of COCO's images; another name that ends in it may be of any image."""
    made = foreign.images(3)
    for image, name in zip(made, ("coco_val2014_000000000017", "18", "a_18"), strict=True):
        image.name = name
    foreign.write_npz(tmp_path / "npz", made)
    rows = [
        {"id": n, "file_name": f"COCO_val2014_{n:012d}.jpg", "width": 200, "height": 100} for n in (17, 18)
    ]
    (tmp_path / "sizes").write_text(json.dumps({"images": rows}))
    with store_of(tmp_path, "--input", tmp_path / "npz", "--sizes", tmp_path / "sizes") as store:
        sizes = dict(zip(store.image_ids, store.sizes.tolist(), strict=True))
    assert sizes == {made[0].name: [200, 100], "18": [200, 100], "a_18": [0, 0]}


def test_sizes_that_a_user_gives_go_before_what_files_say(tmp_path, capsys):
    """MMF's port of LXMERT's detector writes boxes of the image beside the size of what its network was given."""
    made = foreign.images(4)
    LAYOUTS["mmf-frcnn"].write(tmp_path, made)
    (tmp_path / "sizes").write_text("image_id,width,height\n" + "".join(f"{i.name},300,150\n" for i in made))
    with store_of(tmp_path, "--input", tmp_path, "--sizes", tmp_path / "sizes") as store:
        assert store.sizes.tolist() == [[300, 150]] * 4
    assert "more are counted than there are" in capsys.readouterr().out


@pytest.mark.parametrize("with_ids", [True, False])
def test_shares_are_known_by_sizes_that_a_user_gives(with_ids, tmp_path, capsys):
    made, shares = foreign.images(4), np.array([200, 100, 200, 100], np.float32)
    items = [{"bbox": i.boxes / shares, "features": i.features} for i in made]
    named = zip(made, items, strict=True)
    records = {
        image.name.encode(): pickle.dumps(item | ({"image_id": image.name} if with_ids else {}))
        for image, item in named
    }
    foreign.write_lmdb(tmp_path / "l", records)
    (tmp_path / "sizes").write_text("image_id,width,height\n" + "".join(f"{i.name},200,100\n" for i in made))
    with store_of(tmp_path, "--input", tmp_path / "l", "--sizes", tmp_path / "sizes") as store:
        np.testing.assert_allclose(rows_of(store, "boxes", made[2].name), made[2].boxes, atol=1e-3)
    assert "shares of the image, though sizes are there" in capsys.readouterr().out


def test_regions_without_boxes_get_cells_or_the_whole(tmp_path, capsys):
    made = foreign.images(3, regions_each=4)
    (inputs,) = LAYOUTS["scan"].write(tmp_path, made)
    with store_of(tmp_path, "--input", inputs, "--boxes", "grid") as store:
        cells = [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
        np.testing.assert_array_equal(rows_of(store, "boxes", made[1].name), cells)
    assert "--boxes grid gives each region its cell" in capsys.readouterr().out
    np.save(inputs, np.zeros((3, 5, WIDTH), np.float32))
    bring("--input", inputs, "--output", tmp_path / "b.h5", "--boxes", "grid", code=2)
    assert "5 regions are no square grid" in capsys.readouterr().err


def test_scans_rows_that_repeat_an_image_are_read_once(tmp_path, capsys):
    made = foreign.images(3, regions_each=4)
    np.save(tmp_path / "t_ims.npy", np.stack([image.features for image in made for _ in range(5)]))
    (tmp_path / "t_ids.txt").write_text("".join(f"{image.name}\n" * 5 for image in made))
    (tmp_path / "t_caps.txt").write_text("".join(f"{i.name} {n}\n" for i in made for n in range(5)))
    with store_of(tmp_path, "--input", tmp_path / "t_ims.npy") as store:
        assert store.image_ids == [image.name for image in made]
        assert list(store.texts()) == [f"{image.name} {n}" for image in made for n in range(5)]
    assert "12 rows repeat an image" in capsys.readouterr().out
    (tmp_path / "t_ids.txt").write_text("1\n2\n")
    bring("--input", tmp_path / "t_ims.npy", "--output", tmp_path / "b.h5", code=2)
    assert "15 images, but 2 ids" in capsys.readouterr().err


def test_an_empty_caption_of_scans_moves_no_other(tmp_path):
    (inputs,) = LAYOUTS["scan"].write(tmp_path, foreign.images(3, regions_each=4))
    texts = [f"{n}\x85of\x0b{n}" for n in range(15)]  # neither of them ends a line
    texts[7] = ""
    (tmp_path / "dev_caps.txt").write_text("".join(f"{text}\n" for text in texts), newline="")
    with store_of(tmp_path, "--input", inputs) as store:
        assert np.bincount(store.caption_image).tolist() == [5, 4, 5]
        assert [" ".join(text.split()) for text in store.texts()] == [
            f"{n} of {n}" for n in range(15) if n != 7
        ]


def test_images_without_ids_that_come_five_times_are_read_once(tmp_path):
    made = foreign.images(3, regions_each=4)
    np.save(tmp_path / "t_ims.npy", np.stack([image.features for image in made for _ in range(5)]))
    (tmp_path / "t_caps.txt").write_text("".join(f"{i.name} {n}\n" for i in made for n in range(5)))
    with store_of(tmp_path, "--input", tmp_path / "t_ims.npy") as store:
        assert store.image_ids == ["0", "1", "2"]
        assert list(store.texts()) == [f"{image.name} {n}" for image in made for n in range(5)]


def test_boxes_in_shares_are_not_taken_for_pixels(tmp_path, capsys):
    made = foreign.images(5)
    shares = np.array([200, 100, 200, 100], np.float32)
    for image in made:
        image.boxes = image.boxes / shares
    foreign.write_tsv(tmp_path / "a.tsv", made)
    with store_of(tmp_path, "--input", tmp_path / "a.tsv") as store:
        assert "shares of the image, though sizes are there" in capsys.readouterr().out
        np.testing.assert_allclose(rows_of(store, "boxes", made[3].name), made[3].boxes * shares, atol=1e-3)
    for image in made[:3]:
        image.boxes = image.boxes * shares
    foreign.write_tsv(tmp_path / "b.tsv", made)
    bring("--input", tmp_path / "b.tsv", "--output", tmp_path / "b.h5", code=2)
    assert "b.tsv, line 4" in (said := capsys.readouterr().err) and "shares of the image, and those" in said


def test_grids_of_an_lmdb_are_lists_of_their_cells_wherever_the_width_is(tmp_path):
    grid = np.arange(2 * 3 * WIDTH, dtype=np.float32).reshape(2, 3, WIDTH)
    records = {b"a": grid[None], b"b": grid.transpose(2, 0, 1)}
    items = {key: pickle.dumps({"feature_path": key.decode(), "features": f}) for key, f in records.items()}
    foreign.write_lmdb(tmp_path / "l", items)
    with store_of(tmp_path, "--input", tmp_path / "l") as store:
        for name in ("a", "b"):
            np.testing.assert_array_equal(rows_of(store, "features", name), grid.reshape(6, WIDTH))


@pytest.mark.parametrize("beside", ["boxes", "img_sizes"])
def test_what_has_no_rows_beside_scans_regions_is_a_fault(tmp_path, capsys, beside):
    (inputs,) = LAYOUTS["scan"].write(tmp_path, foreign.images(3, regions_each=4))
    for none in (np.float32(1), np.zeros(3, np.float32)):
        np.save(tmp_path / f"dev_{beside}.npy", none)
        bring("--input", inputs, "--output", tmp_path / "b.h5", code=2)
        assert f"dev_{beside}.npy: of shape {none.shape}; a row" in capsys.readouterr().err


def test_rows_of_butd_that_were_never_filled_are_not_read(tmp_path, capsys):
    """Its converter makes room for the images of a folder, of which the TSV may lack some."""
    made = foreign.images(5, regions_each=4)
    (inputs,) = LAYOUTS["butd"].write(tmp_path, made)
    ids, words = tmp_path / "train36_imgid2idx.pkl", ("--input", inputs, "--output", tmp_path / "b.h5")
    ids.write_bytes(pickle.dumps({number: number for number in range(3)}, protocol=0))
    bring(*words, code=2)
    assert "3 ids, but train36.hdf5 has 5 images, and those without an id hold" in capsys.readouterr().err
    with h5py.File(inputs, "r+") as file:
        for array in file.values():
            array[3:] = 0
    with store_of(tmp_path, "--input", inputs) as store:
        assert store.image_ids == ["0", "1", "2"]
        np.testing.assert_array_equal(rows_of(store, "boxes", "2"), made[2].boxes)
    assert "2 rows without an id were never filled" in capsys.readouterr().out
    for wrong, told in (
        ({1: [0]}, "ids to 0 … 0"),
        ([1], "a list, not a dictionary"),
        (dict.fromkeys("ab", 0), "once"),
    ):
        ids.write_bytes(pickle.dumps(wrong))
        bring(*words, code=2)
        assert told in capsys.readouterr().err
    ids.write_bytes(pickle.dumps({number: number for number in range(7)}))
    bring(*words, code=2)
    assert "7 ids, but train36.hdf5 has 5 images; give the pickle" in capsys.readouterr().err


def test_boxes_of_the_kdd_cup_are_turned_round(tmp_path, capsys):
    names = ["product_id", "image_h", "image_w", "num_boxes", "boxes", "features", "class_labels", "query"]
    (image,) = foreign.images(1)
    count = len(image.boxes)
    cells = [b"7", b"100", b"200", b"%d" % count, b64(image.boxes[:, [1, 0, 3, 2]]), b64(image.features)]
    cells += [b64(image.labels.astype(np.int64)), b"a query"]
    (tmp_path / "a.tsv").write_bytes("\t".join(names).encode() + b"\n" + b"\t".join(cells) + b"\n")
    with store_of(tmp_path, "--input", tmp_path / "a.tsv") as store:
        np.testing.assert_array_equal(rows_of(store, "boxes", "7"), image.boxes)
        np.testing.assert_array_equal(rows_of(store, "labels", "7"), image.labels)
