"""What is put is there after whatever happens; what is derived comes back from it."""

import json

import numpy as np
import pytest
from small_search import WIDTH, about, addition, empty_index

from interbert.search.index import snapshots
from interbert.search.index.index import Index, OtherModel
from interbert.search.index.nearest import Exact, Graph, recall_of


def ids_of(index: Index) -> set[str]:
    return {row.id for row in index.rows(index.truth.numbers().tolist()).values()}


def nearest_ids(index: Index, number: int, count: int = 1) -> list[str]:
    numbers, _ = index.search(addition(number).vector_W[None], count)
    rows = index.rows(numbers[0])
    return [rows[n].id for n in numbers[0]]


def test_items_are_found_after_reopening_and_not_after_removal(tmp_path):
    with empty_index(tmp_path / "i") as index:
        sequence, numbers = index.put(
            [addition(n, title=f"t{n}", attributes={"seller": n % 3}) for n in range(20)]
        )
        assert (sequence, numbers, len(index)) == (20, list(range(1, 21)), 20)
        assert nearest_ids(index, 7) == ["item-7"]
        assert index.remove(["item-7", "nobody", "item-7"]) == (21, 1)
        assert nearest_ids(index, 7) != ["item-7"]
    with Index.open(tmp_path / "i") as index:
        assert ids_of(index) == {f"item-{n}" for n in range(20) if n != 7}
        assert index.sequence == 21 and nearest_ids(index, 7) != ["item-7"]
        (row,) = index.rows([4]).values()
        assert (row.id, row.title, row.attributes) == ("item-3", "t3", {"seller": 0})
        rows = index.tokens.read([(row.tokens_at, row.tokens)])
        assert np.array_equal(rows, addition(3).rows_SH)
        assert index.put([addition(50)])[0] == 22
        assert index.verify() == []


def test_an_item_put_again_takes_its_own_place(tmp_path):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(5)])
        index.put([addition(99, "item-2", title="new")])
        assert len(index) == 5 and nearest_ids(index, 99) == ["item-2"]
        assert nearest_ids(index, 2) != ["item-2"]
        number = index.truth.number_of("item-2")
        assert index.rows([3, number])[number].title == "new" and 3 not in index.rows([3, number])
        with pytest.raises(ValueError, match="comes twice"):
            index.put([addition(1), addition(1)])


def test_a_put_that_fails_leaves_nothing(tmp_path, monkeypatch):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(0)])
        bad = addition(2, attributes={"what": object()})
        with pytest.raises(TypeError):
            index.put([addition(1), bad])
        assert ids_of(index) == {"item-0"} and len(index) == 1
        assert index.put([addition(3)])[0] == 2
        assert index.verify() == []


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(3)])
        (pages,) = index.truth._writer.execute("PRAGMA page_count").fetchone()
        index.truth._writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="no room"):
            index.put([addition(n, title="long" * 500) for n in range(10, 60)])
        assert len(index) == 3 and nearest_ids(index, 2) == ["item-2"]
        index.truth._writer.execute("PRAGMA max_page_count = 100000")
        assert index.put([addition(5)])[0] == 4

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
            patched.setattr("os.pwrite", full)
            index.put([addition(6)])
        assert index.put([addition(7)])[0] == 5 and index.verify() == []


def test_filters_and_exclusions(tmp_path):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n, attributes={"seller": "ab"[n % 2], "price": n}) for n in range(30)])
        query = addition(7).vector_W[None]
        everything = index.search(query, 30)[0][0]
        among = index.truth.filtered({"seller": "a"})
        assert index.search(query, 30, among)[0][0] == [n for n in everything if (n - 1) % 2 == 0]
        assert index.truth.filtered({"seller": ["a", "b"], "price": [3, 4]}).tolist() == [4, 5]
        assert index.truth.filtered({"nothing": 1}).tolist() == []
        assert index.search(query, 3, without=frozenset(everything[:2]))[0][0] == everything[2:5]


def test_of_many_that_fit_a_filter_the_nearest_are_found(tmp_path, monkeypatch):
    """More than are looked at one by one."""
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(200)])
        among = index.truth.numbers()[::2]
        query = addition(7).vector_W[None]
        wanted = index.search(query, 10, among)
        monkeypatch.setattr("interbert.search.index.narrowed.FEW", 5)
        monkeypatch.setattr("interbert.search.index.narrowed.AT_A_TIME", 30)
        for widest in (10**6, 1):  # by ever more of the nearest; by looking at all that fit after all
            monkeypatch.setattr("interbert.search.index.narrowed.WIDEST", widest)
            found = index.search(query, 10, among)
            assert found[0] == wanted[0]
            assert np.allclose(found[1], wanted[1], atol=2e-3)
        # All but the nearest hundred, which is more than is asked for at first.
        without = frozenset(index.search(query, 100)[0][0])
        assert index.search(query, 10, without=without)[0] == [index.search(query, 110)[0][0][100:]]


def test_vectors_of_a_graphs_items_are_not_read_from_the_disk(tmp_path, monkeypatch):
    """Others wait meanwhile."""
    empty_index(tmp_path / "i").close()
    with Index.open(tmp_path / "i", exact_up_to=-1) as index:
        index.put([addition(n) for n in range(200)])
        index.snapshot()
        index.remove(["item-5"])
    with Index.open(tmp_path / "i", exact_up_to=-1) as index:
        assert index.kind == "graph"
        vectors = index.vectors([8, 6, 1])
        assert np.allclose(vectors, [addition(7).vector_W, np.zeros(WIDTH), addition(0).vector_W], atol=1e-3)
        monkeypatch.setattr(index.truth, "vectors", None)
        query, among = addition(7).vector_W[None], index.truth.numbers()[::2]
        products = index.vectors(among.tolist()) @ query[0]
        (found,), (scores,) = index.search(query, 10, among)
        assert found == among[np.argsort(-products, kind="stable")[:10]].tolist()
        assert np.allclose(scores, np.sort(products)[::-1][:10])


def test_what_nobody_waits_for_is_not_sought_on(tmp_path, monkeypatch):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(20)])
        monkeypatch.setattr("interbert.search.index.narrowed.AT_A_TIME", 5)
        asked, query, among = [], addition(7).vector_W[None], index.truth.numbers()

        def over():
            asked.append(1)
            return len(asked) == 3

        with pytest.raises(TimeoutError):
            index.search(query, 2, among, over=over)
        with pytest.raises(TimeoutError):
            index.search(query, 2, over=lambda: True)
        assert len(asked) == 3


def test_any_name_of_an_attribute_is_one(tmp_path):
    names = ["a.b", 'a"b', "a\\b", "", "$", "[0]", "é"]
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n, attributes={name: n}) for n, name in enumerate(names)])
        for n, name in enumerate(names):
            assert index.truth.filtered({name: n}).tolist() == [n + 1], name


def test_another_models_index_is_refused_and_only_one_process_changes_it(tmp_path):
    empty_index(tmp_path / "i").close()
    with pytest.raises(OtherModel, match="/models/some"):
        Index.open(tmp_path / "i", "n" * 64)
    with Index.open(tmp_path / "i", "m" * 64):
        with pytest.raises(ValueError, match="another process"):
            Index.open(tmp_path / "i")
        Index.open(tmp_path / "i", read_only=True).close()
    with pytest.raises(ValueError, match="something already"):
        Index.create(tmp_path / "i", about())
    with pytest.raises(ValueError, match="index build"):
        Index.open(tmp_path)


def test_a_graph_comes_back_from_its_snapshot_and_what_came_behind_it(tmp_path):
    empty_index(tmp_path / "i").close()
    with Index.open(tmp_path / "i", exact_up_to=-1) as index:
        index.put([addition(n) for n in range(300)])
        index.snapshot()
        index.put([addition(n) for n in range(300, 320)])
        index.remove(["item-5"])
        index._snapshot_at = index.sequence  # as if it ended here: no snapshot is left
    assert snapshots.newest(tmp_path / "i") == 300
    with Index.open(tmp_path / "i", exact_up_to=100) as index:
        assert index.kind == "graph" and len(index) == 319
        assert index.recall is not None
        assert nearest_ids(index, 310) == ["item-310"] and nearest_ids(index, 5) != ["item-5"]
        assert nearest_ids(index, 4) == ["item-4"]


@pytest.mark.parametrize("damage", ["torn", "gone", "json", "empty"])
def test_a_broken_snapshot_is_made_anew(tmp_path, damage):
    empty_index(tmp_path / "i").close()
    with Index.open(tmp_path / "i", exact_up_to=-1) as index:
        index.put([addition(n) for n in range(150)])
    (path,) = (tmp_path / "i").glob("graph-*.usearch")
    match damage:
        case "torn":
            path.write_bytes(path.read_bytes()[:-100])
        case "gone":
            path.unlink()
        case "json":
            path.with_suffix(".json").write_text("{")
        case "empty":
            path.write_bytes(b"")
    assert [path.name in fault for fault in snapshots.faults(tmp_path / "i")] == [True]
    with Index.open(tmp_path / "i", exact_up_to=100) as index:
        assert len(index) == 150 and nearest_ids(index, 77) == ["item-77"]
        assert snapshots.faults(tmp_path / "i") == []
        assert index.recall > 0.9


def test_verify_finds_what_changed(tmp_path):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(4)])
    with open(tmp_path / "i" / "tokens.bin", "r+b") as file:
        file.seek(3 * 64 + 5)
        file.write(b"\xff\xff")
    with Index.open(tmp_path / "i", read_only=True) as index:
        (fault,) = index.verify()
    assert "item-1" in fault and "put it again" in fault


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_database_of_an_index_is_told_so(tmp_path, read_only):
    empty_index(tmp_path / "i").close()
    (tmp_path / "i" / "index.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match=r"not the database of an index .*build the index anew"):
        Index.open(tmp_path / "i", read_only=read_only)


def test_a_short_file_of_rows_is_refused(tmp_path):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(4)])
    path = tmp_path / "i" / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="speaks of 12"):
        Index.open(tmp_path / "i")


def test_rows_that_nobody_speaks_of_are_written_over(tmp_path):
    """As a kill between the rows and the database leaves them."""
    with empty_index(tmp_path / "i") as index:
        index.put([addition(0)])
        index.tokens.append(addition(1).rows_SH)
    with Index.open(tmp_path / "i") as index:
        assert index.tokens.end == 3
        index.put([addition(2)])
        assert index.verify() == []


def test_tombstones_are_forgotten_once_nothing_derived_needs_them(tmp_path):
    empty_index(tmp_path / "i").close()
    with Index.open(tmp_path / "i", exact_up_to=-1) as index:
        index.put([addition(n) for n in range(10)])
        index.remove([f"item-{n}" for n in range(5)])
        index.remove(["item-9"])
        index.snapshot()
        left = index.truth._reader.execute("SELECT id FROM items WHERE removed IS NOT NULL").fetchall()
        assert left == [("item-9",)]
        assert index.truth.last_number() == 12


def test_exact_and_graph_find_what_numpy_finds():
    vectors = np.stack([addition(n).vector_W for n in range(400)]).astype(np.float16)
    numbers = np.arange(400) * 3 + 1
    queries = np.stack([addition(n).vector_W for n in range(1000, 1020)])
    exact, graph = Exact(WIDTH), Graph(WIDTH)
    for nearest in (exact, graph):
        nearest.add(numbers[:300], vectors[:300])
        nearest.add(numbers[300:], vectors[300:])
        nearest.remove(numbers[10:20])
        assert len(nearest) == 390
    kept = np.delete(np.arange(400), np.arange(10, 20))
    scores = queries @ vectors[kept].astype(np.float32).T
    best = numbers[kept[np.argsort(-scores, axis=1)[:, :8]]]
    found, products = exact.search(queries, 8)
    assert recall_of(found, best) >= 0.99  # halves may change places
    assert np.allclose(products, -np.sort(-scores, axis=1)[:, :8], atol=2e-3)
    assert recall_of(graph.search(queries, 8)[0], best) > 0.9
    assert exact.search(queries, 1000)[0].shape == (20, 390)
    exact.remove(numbers[100:200])  # more holes than are left open
    kept = np.setdiff1d(kept, np.arange(100, 200))
    best = numbers[kept[np.argsort(-(queries @ vectors[kept].astype(np.float32).T), axis=1)[:, :8]]]
    assert len(exact) == 290 and recall_of(exact.search(queries, 8)[0], best) >= 0.99
    assert Exact(WIDTH).search(queries, 3)[0].shape == (20, 0)


def test_about_stands_in_the_database(tmp_path):
    with empty_index(tmp_path / "i") as index:
        assert index.about == {"version": 1, **json.loads(json.dumps(about()))}


def test_opening_reads_no_more_of_a_large_index_than_of_a_small_one(tmp_path):
    """But its vectors: what was last is asked of the database in a few instructions, however many items there are."""
    instructions = []
    for count in (20, 500):
        with empty_index(tmp_path / f"{count}") as index:
            index.put([addition(n) for n in range(count)])
            index.remove(["item-3", f"item-{count - 1}"])
            connection, counted = index.truth._reader, []
            connection.set_progress_handler(lambda counted=counted: counted.append(1), 1)
            assert (index.truth.last_number(), index.truth.tokens_end()) == (count + 1, 3 * count)
            connection.set_progress_handler(None, 0)
            instructions.append(len(counted))
    assert instructions[1] <= instructions[0] + 5


def test_rows_beyond_the_last_items_are_a_fault(tmp_path):
    with empty_index(tmp_path / "i") as index:
        index.put([addition(n) for n in range(4)])
        index.truth._writer.execute("UPDATE items SET tokens_at = 90 WHERE number = 2")
        (fault,) = index.verify()
    assert "item-1" in fault and "beyond 12" in fault
