import numpy as np
import pytest
from made_examples import make_outputs

from interbert.tasks.results.outputs import Part, assemble, refuse_no_numbers


def part(**rows: list[float]) -> Part:
    """n3=[…]: example 3; d3=[…]: the same with a damaged image; filler=[…]."""
    numbers = [-1 if name == "filler" else int(name[1:]) for name in rows]
    return Part(
        np.array(numbers),
        np.array([len(row) for row in rows.values()]),
        np.concatenate(list(rows.values())),
        np.array([name[0] == "d" for name in rows]),
    )


def test_parts_in_any_order_become_the_examples_in_theirs():
    parts = [
        part(n3=[3.0, 3.5], n0=[0.0]),
        part(filler=[9.0, 9.0, 9.0]),
        part(n2=[], n1=[1.0, 1.25, 1.5]),
    ]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        outputs = assemble([parts[number] for number in order], 4)
        assert len(outputs) == 4 and outputs.flat.dtype == np.float32
        assert [outputs.of(n).tolist() for n in range(4)] == [[0.0], [1.0, 1.25, 1.5], [], [3.0, 3.5]]


def test_parts_of_which_all_examples_have_equally_many_numbers():
    outputs = assemble([part(n2=[2.0, 2.5], filler=[9.0, 9.0]), part(n0=[0.0, 0.5], n1=[1.0, 1.5])], 3)
    assert outputs.table_NK().tolist() == [[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]
    assert outputs.offsets.tolist() == [0, 2, 4, 6]


def test_an_example_that_is_missing_or_there_twice_is_a_fault():
    with pytest.raises(AssertionError, match="example 1 was gone through 0 times"):
        assemble([part(n0=[1.0]), part(n2=[1.0])], 3)
    with pytest.raises(AssertionError, match="example 0 was gone through 2 times"):
        assemble([part(n0=[1.0]), part(n0=[1.0])], 1)
    with pytest.raises(AssertionError, match="example 4 of 2"):
        assemble([part(n0=[1.0], n1=[1.0], n4=[1.0])], 2)
    with pytest.raises(AssertionError, match="do not fit together"):
        assemble([Part(np.array([0]), np.array([2]), np.array([1.0]), np.array([False]))], 1)


def test_what_is_damaged_stays_so_in_any_order():
    for parts in ([part(d2=[1.0], n0=[2.0]), part(d1=[3.0])], [part(d1=[3.0]), part(n0=[2.0], d2=[1.0])]):
        assert assemble(parts, 3).damaged_N.tolist() == [False, True, True]
    assert assemble([part(n1=[], d0=[1.0])], 2).damaged_N.tolist() == [True, False]


def test_nothing_at_all():
    assert len(assemble([], 0)) == 0


def test_a_table_where_all_are_of_a_width():
    assert make_outputs([[1, 2], [3, 4], [5, 6]]).table_NK().tolist() == [[1, 2], [3, 4], [5, 6]]


def test_outputs_that_are_no_numbers_are_refused_by_the_example_s_name():
    outputs = make_outputs([[0.5], [0.25, np.nan, np.inf]])
    with pytest.raises(ValueError, match="example 'b': the model's output is nan, as are 1 more"):
        refuse_no_numbers(outputs, ["a", "b"])
    refuse_no_numbers(make_outputs([[0.5], [0.25]]), ["a", "b"])
