"""A model that was not distilled is searched as far as that goes, and says so."""

import pytest
from small_search import open_searcher, write_index, write_searcher

from interbert.search.requests import Embed, Options, Recommend, Search, TooMuch

QUERY = "w01 w02 w03"


def test_a_model_without_heads_is_searched_exhaustively_or_by_its_product_and_says_so(tmp_path):
    encoder = write_searcher(tmp_path, heads=("match",))
    write_index(tmp_path, encoder, images=20)
    with open_searcher(tmp_path, encoder) as searcher:
        found = searcher.submit(Search((QUERY,), k=3)).result(30)
        assert (found.way, found.reranked, found.hits[0].first_score) == ("exhaustive", 20, None)
        assert "each of 20 items" in searcher.notice
        best = found.hits[0].id
    with open_searcher(tmp_path, encoder, Options(exhaustive=10)) as searcher:
        found = searcher.submit(Search((QUERY,), k=3, candidates=20)).result(30)
        assert (found.way, found.reranked, found.hits[0].id) == ("product", 20, best)
        assert "never trained" in searcher.notice


def test_a_model_that_has_no_vectors_is_searched_while_its_items_are_few(tmp_path):
    encoder = write_searcher(tmp_path, heads=("match",), fusion="sum")
    write_index(tmp_path, encoder, images=20)
    with open_searcher(tmp_path, encoder) as searcher:
        searcher.warm()
        assert searcher.submit(Search((QUERY,), k=3)).result(30).way == "exhaustive"
        with pytest.raises(ValueError, match="distill"):
            searcher.submit(Embed(texts=("w01",)))
        with pytest.raises(ValueError, match="send diversity 0"):
            searcher.submit(Recommend((QUERY,)))
        told = searcher.submit(Recommend((QUERY,), k=3, diversity=0)).result(30)
        assert len(told.found.hits) == 3 and told.unlikeness is None
    with open_searcher(tmp_path, encoder, Options(exhaustive=10)) as searcher, pytest.raises(TooMuch):
        searcher.submit(Search((QUERY,), k=3))
