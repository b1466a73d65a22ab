"""Events fill requests: each once, within the vendor's limits, and those of one person one after the other."""

from collections import defaultdict
from itertools import pairwise

import orjson
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from caspio_sync.delivery.requests import Envelope, Request
from caspio_sync.kinds.events.loading import OBJECT, PARTS, WRITE, Load, in_order, loads

ENVELOPES = [Envelope("purchases", 6, 400), Envelope("events", 6, 400)]


def rows_of(events: list[tuple[str, int, int, int]]) -> pl.DataFrame:
    """Person, minute, objects and call of each event."""
    objects = [
        ",".join(orjson.dumps({"pk": pk, "part": part}).decode() for part in range(parts))
        for pk, (_, _, parts, _) in enumerate(events)
    ]
    return pl.DataFrame(
        {
            "source_pk": range(len(events)),
            "key": [who for who, _, _, _ in events],
            "time": [f"2026-03-02T12:{minute:02}:00Z" for _, minute, _, _ in events],
            OBJECT: objects,
            PARTS: [parts for _, _, parts, _ in events],
            WRITE: [call for _, _, _, call in events],
        },
        schema_overrides={
            "source_pk": pl.Int64,
            "key": pl.String,
            "time": pl.String,
            OBJECT: pl.String,
            PARTS: pl.Int64,
        },
    ).with_columns(pl.col(WRITE).cast(pl.Int32))


def filled(events: list[tuple[str, int, int, int]]) -> tuple[pl.DataFrame, list[Load]]:
    rows = in_order(rows_of(events))
    return rows, list(loads(rows, ENVELOPES, 7))


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 59), st.integers(1, 6), st.integers(0, 1)), max_size=40
)


@given(EVENTS)
def test_each_event_is_in_one_request_whole(events: list[tuple[str, int, int, int]]) -> None:
    rows, made = filled(events)
    assert [place for load in made for place in load.rows.tolist()] == list(range(len(events)))
    assert [load.request.number for load in made] == list(range(7, 7 + len(made)))
    for load in made:
        body = orjson.loads(load.request.body)
        array = load.request.envelope.array
        assert len(body[array]) == load.request.count == int(load.parts.sum())
        assert [each["pk"] for each in body[array]] == rows["source_pk"][load.places()].to_list()
        assert {ENVELOPES[call].array for call in rows[WRITE][load.rows].to_list()} == {array}


@given(EVENTS)
def test_no_request_is_too_large(events: list[tuple[str, int, int, int]]) -> None:
    _, made = filled(events)
    for load in made:
        assert load.request.count <= 6
        assert len(load.request.body) <= 400 or len(load.rows) == 1


@given(EVENTS)
def test_the_events_of_a_person_leave_one_request_after_the_other_by_their_time(
    events: list[tuple[str, int, int, int]],
) -> None:
    rows, made = filled(events)
    requests: dict[str, list[int]] = defaultdict(list)
    for place, load in enumerate(made):
        people = set(rows["key"][load.rows].to_list())
        before = set(rows["key"][made[place - 1].rows].to_list()) if place else set()
        assert load.follows == bool(people & before)
        for who in people:
            requests[who].append(place)
    for who, places in requests.items():
        assert places == list(range(places[0], places[0] + len(places)))  # in a row: each waits for the one before
        times = rows.filter(pl.col("key") == who)["time"].to_list()
        assert times == sorted(times)


def test_a_person_is_not_cut_where_a_request_has_room_elsewhere() -> None:
    _, made = filled([("a", 1, 4, 0), ("b", 1, 2, 0), ("b", 2, 2, 0), ("c", 1, 2, 0)])
    assert [load.rows.tolist() for load in made] == [[0], [1, 2, 3]]
    assert not any(load.follows for load in made)


def test_nothing_fills_nothing() -> None:
    assert filled([])[1] == []


@given(EVENTS)
def test_where_one_of_a_person_is_taken_no_request_holds_two(events: list[tuple[str, int, int, int]]) -> None:
    rows = in_order(rows_of([(who, minute, 1, 0) for who, minute, _, _ in events]))
    envelope = Envelope("recipients", 6, 400, head='"campaign_id":"c",', one_a_key=True)
    made = list(loads(rows, [envelope], 1))
    assert [place for load in made for place in load.rows.tolist()] == list(range(len(events)))
    for load in made:
        body = orjson.loads(load.request.body)
        assert body["campaign_id"] == "c"
        assert len(body["recipients"]) == load.request.count
        people = rows["key"][load.rows].to_list()
        assert len(set(people)) == len(people)
    for before, load in pairwise(made):  # who is in both is answered for first
        shared = set(rows["key"][before.rows]) & set(rows["key"][load.rows])
        assert not shared or load.follows


def test_a_request_cut_in_two_is_of_the_same_campaign() -> None:
    envelope = Envelope("recipients", 6, 400, head='"campaign_id":"c",', one_a_key=True)
    request = Request(1, 0, 2, envelope.wrap([b'{"a":1}', b'{"a":2}']), envelope)
    assert [orjson.loads(half.body)["campaign_id"] for half in request.halves()] == ["c", "c"]
