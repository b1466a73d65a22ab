"""Requests hold as many objects as they may, in order, and nothing is lost or sent twice."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caspio_sync.delivery.requests import (
    Request,
    count_requests,
    fill_requests,
)
from caspio_sync.destinations.braze.requests import OBJECTS_PER_REQUEST, REQUEST_BYTES, TRACK


def an_object(number: int, size: int = 0) -> str:
    """JSON of at least `size` bytes."""
    text = orjson.dumps({"external_id": str(number), "n": ""}).decode()
    return text[:-2] + "x" * max(0, size - len(text)) + '"}'


def objects(*sizes: int) -> pl.Series:
    return pl.Series([an_object(number, size) for number, size in enumerate(sizes)], dtype=pl.String)


def ids(request: Request) -> list[int]:
    return [int(each["external_id"]) for each in orjson.loads(request.body)["attributes"]]


def filled(texts: pl.Series, **limits: Any) -> list[Request]:
    bytes_ = limits.pop("request_bytes", REQUEST_BYTES)
    return list(fill_requests(texts, envelope=replace(TRACK, request_bytes=bytes_), first_number=1, **limits))


def test_requests_are_filled_to_the_brim() -> None:
    assert [request.count for request in filled(objects(*[0] * 160))] == [75, 75, 10]


def test_the_limits_are_those_of_braze_with_room_to_spare() -> None:
    assert OBJECTS_PER_REQUEST == 75
    assert REQUEST_BYTES < 4_000_000


def test_exactly_full_is_one_request() -> None:
    assert len(filled(objects(*[0] * 75))) == 1


def test_no_objects_make_no_request() -> None:
    assert filled(objects()) == []
    assert count_requests(objects(), envelope=TRACK) == 0


def test_requests_are_numbered_from_the_first_and_know_their_places() -> None:
    requests = list(fill_requests(objects(*[0] * 100), envelope=TRACK, first_number=41))
    assert [(request.number, request.start, request.count) for request in requests] == [(41, 0, 75), (42, 75, 25)]


def test_a_request_is_cut_at_its_bytes_and_no_sooner() -> None:
    texts = objects(*[100] * 10)
    body = len(filled(texts[:4])[0].body)
    assert [request.count for request in filled(texts, request_bytes=body)] == [4, 4, 2]
    assert [request.count for request in filled(texts, request_bytes=body - 1)] == [3, 3, 3, 1]


def test_an_object_over_the_limit_goes_alone() -> None:
    assert [ids(request) for request in filled(objects(0, 500, 0, 0), request_bytes=200)] == [[0], [1], [2, 3]]


def test_bytes_are_counted_not_characters() -> None:
    texts = pl.Series([orjson.dumps({"external_id": str(n), "n": "😀" * 30}).decode() for n in range(4)])
    assert all(len(request.body) <= 320 for request in filled(texts, request_bytes=320))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 9), st.integers(60, 1500))
def test_every_object_is_sent_once_in_order_within_both_limits(sizes: list[int], per_request: int, most: int) -> None:
    texts = objects(*sizes)
    requests = filled(texts, objects_per_request=per_request, request_bytes=most)
    assert [number for request in requests for number in ids(request)] == list(range(len(sizes)))
    for request in requests:
        assert request.count == len(ids(request)) <= per_request
        assert len(request.body) <= most or request.count == 1
    for request, following in pairwise(requests):
        assert request.start + request.count == following.start
        # To the brim: the next object would not have fitted.
        assert request.count == per_request or len(request.body) + 1 + len(texts[following.start]) > most
    assert count_requests(texts, envelope=replace(TRACK, request_bytes=most), objects_per_request=per_request) == len(
        requests
    )


@pytest.mark.parametrize("count", [2, 3, 75])
def test_halves_hold_the_same_objects_at_their_places(count: int) -> None:
    (request,) = fill_requests(objects(*[0] * count), envelope=TRACK, first_number=7)
    request = Request(7, 150, count, request.body, TRACK)
    first, second = request.halves()
    assert ids(first) + ids(second) == list(range(count))
    assert (first.start, first.count) == (150, (count + 1) // 2)
    assert (second.start, second.count) == (150 + first.count, count - first.count)
    assert first.number == second.number == 7


def test_halves_keep_values_as_they_are() -> None:
    values = {"f": 1e22, "i": 2**53, "s": 'q"\\\u2028😀', "n": None, "l": [True, {"$time": "2026"}], "z": -0.0}
    body = orjson.dumps({"attributes": [values, {}]})
    first, _ = Request(1, 0, 2, body, TRACK).halves()
    assert orjson.loads(first.body) == {"attributes": [values]}
