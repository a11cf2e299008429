"""What writers leave that others do not think of."""

import gc
import json
import pickle
from pathlib import Path

import foreign
import foreign_arrays
import foreign_files
import numpy as np
import pytest
from foreign import CLASSES, WIDTH, Image

from interbert import __main__ as program
from interbert.store.store import Store


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def records(made: list[Image], **more) -> dict[bytes, bytes]:
    """As MMF writes them. more: fields by a function of the image's number."""
    found = {}
    for number, image in enumerate(made):
        item = {"image_width": 200, "image_height": 100, "bbox": image.boxes, "features": image.features}
        item |= {name: field(number) for name, field in more.items()}
        found[image.name.encode()] = pickle.dumps(item)
    return found


def edited(path: Path, number: int, edit) -> None:
    """A line of predictions, its objects changed; or the line itself."""
    lines = path.read_text().splitlines()
    name, text = lines[number].split("\t")
    row = json.loads(text)
    lines[number] = edit(row["objects"]) or f"{name}\t{json.dumps(row)}"
    path.write_text("\n".join(lines) + "\n")


def test_an_object_may_have_no_attribute(tmp_path, capsys):
    made = foreign.images(5)
    (inputs,) = foreign_files.vinvl(tmp_path, made)
    edited(tmp_path / "predictions.tsv", 4, lambda found: found[1].update(attributes=[], attr_scores=[]))
    bring("--input", inputs, "--output", tmp_path / "a.h5")
    assert "5 of attributes that are found here" in capsys.readouterr().out
    order = np.argsort(-made[0].confidence, kind="stable").tolist()
    with Store(tmp_path / "a.h5") as store:
        names = ["__background__", *(f"attribute {number}" for number in range(foreign_arrays.KINDS))]
        assert store.images == 5 and store.attribute_names == names
        rows = store.read_rows("attributes/label", 0, len(order)).tolist()
        sure = store.read_rows("attributes/confidence", 0, len(order)).tolist()
        wanted = foreign_arrays.attributes(made[0])
        for place, region in enumerate(order):
            assert names[rows[place]] == (names[0] if region == 1 else f"attribute {wanted[region]}")
            assert (sure[place] == 0) == (region == 1)


def test_names_of_classes_do_not_take_the_attributes_away(tmp_path):
    made = foreign.images(4)
    (inputs,) = foreign_files.vinvl(tmp_path, made)
    (tmp_path / "names").write_text("\n".join(foreign_files.NAMES))
    bring("--input", inputs, "--output", tmp_path / "a.h5", "--class-names", tmp_path / "names")
    with Store(tmp_path / "a.h5") as store:
        assert store.class_names == foreign_files.NAMES
        assert store.attribute_names == [f"attribute {number}" for number in range(foreign_arrays.KINDS)]


@pytest.mark.parametrize(
    "edit", [lambda found: "?\t{", lambda found: found.append(7), lambda found: found.clear()]
)
def test_a_broken_line_of_predictions_is_of_one_image(edit, tmp_path, capsys):
    made = foreign.images(5)
    (inputs,) = foreign_files.vinvl(tmp_path, made)
    edited(tmp_path / "predictions.tsv", 2, edit)
    words = ("--input", inputs, "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert f"features.tsv, line 3, image '{made[2].name}': " in capsys.readouterr().err
    bring(*words, "--skip-bad", 1)


def test_uniters_counts_must_be_of_all_images(tmp_path, capsys):
    made = foreign.images(3)
    (tmp_path / "flickr30k").mkdir()
    foreign.write_uniter_lmdb(tmp_path / "flickr30k" / "all", made)
    counts = tmp_path / "flickr30k" / "nbb_th0.2_max100_min10.json"
    counts.write_text(json.dumps({f"{image.name}.npz": 2 for image in made[:2]}))
    words = ("--input", tmp_path / "flickr30k", "--output", tmp_path / "a.h5")
    bring(*words, code=2)
    assert f"image '{made[2].name}'" in (said := capsys.readouterr().err) and "does not say how many" in said
    for text in ("[1]", '{"a": "b"}', "?"):
        counts.write_text(text)
        bring(*words, code=2)
        assert str(counts) in capsys.readouterr().err


def test_sizes_that_fit_no_image_are_told(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    foreign_files.LAYOUTS["cocobu"].write(tmp_path / "in", foreign.images(3))
    (tmp_path / "sizes").write_text("image_id,width,height\n17,200,100\n")
    bring("--input", tmp_path / "in", "--output", tmp_path / "a.h5", "--sizes", tmp_path / "sizes")
    assert "3 images are of unknown size, their boxes shares of 1" in capsys.readouterr().out


def test_whose_features_they_are_can_be_said(tmp_path):
    foreign.write_tsv(tmp_path / "a.tsv", foreign.images(3))
    words = ("--input", tmp_path / "a.tsv", "--features-of", "vinvl")
    bring(*words, "--output", tmp_path / "a.h5")
    bring(*words, "--output", tmp_path / "b.h5", "--shard-gb", 1e-9)  # joined of several
    for name in ("a.h5", "b.h5"):
        with Store(tmp_path / name) as store:
            assert store.features_of == "vinvl"


def test_a_width_that_arrays_do_not_have_is_a_fault(tmp_path, capsys):
    foreign.write_lmdb(tmp_path / "l", records(foreign.images(3)))
    words = ("--input", tmp_path / "l", "--output", tmp_path / "a.h5", "--feature-width")
    bring(*words, WIDTH + 1, code=2)
    assert f"{WIDTH} numbers a region, --feature-width {WIDTH + 1}" in capsys.readouterr().err
    gc.collect()  # what failed lets go of its LMDB, which a process has open once
    bring(*words, WIDTH)


def test_a_row_group_as_large_as_its_file_is_not_held(tmp_path, monkeypatch):
    """What is decoded at a time is a few rows, in whatever group they are."""
    parquet = pytest.importorskip("pyarrow.parquet")
    from interbert.sources.foreign_files import table_rows

    monkeypatch.setattr(table_rows, "_MOST_ROWS", 5)
    made = foreign.images(40)
    parquet.write_table(foreign_arrays.table(made), tmp_path / "a.parquet")
    sizes, batches = [], table_rows._Parquet.batches

    def noted(self, columns, start):
        for first, batch in batches(self, columns, start):
            sizes.append(batch.num_rows)
            yield first, batch

    monkeypatch.setattr(table_rows._Parquet, "batches", noted)
    bring("--input", tmp_path / "a.parquet", "--output", tmp_path / "a.h5", "--classes", CLASSES)
    assert max(sizes) <= 5 and sum(sizes) < 60
    with Store(tmp_path / "a.h5") as store:
        assert store.image_ids == [str(int(image.name)) for image in made]
