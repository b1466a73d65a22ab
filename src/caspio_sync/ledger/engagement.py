"""What a destination learned about people: a fold adds to it, and moves its cursor in the same transaction."""

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl
import sqlalchemy as sa

from caspio_sync.engagement.duplicates import EVENT_IDS, pack_ids, unpack_ids
from caspio_sync.engagement.fold import (
    CAMPAIGN_DAY_KEY,
    CAMPAIGN_DAYS,
    CONSENTS,
    CONTACTS,
    COUNTS,
    INSTANT,
    PERSON,
    Folded,
    newest,
)
from caspio_sync.engagement.measures import campaign_names
from caspio_sync.errors import TransientError
from caspio_sync.ledger import engagement_schema as tables
from caspio_sync.ledger import schema
from caspio_sync.ledger.bulk import Merge, integer_lists, select_among, select_frame, upsert
from caspio_sync.ledger.engagement_people import DIGEST_CHARACTERS, person_hashes
from caspio_sync.ledger.erasure import Erasures, Keyspace
from caspio_sync.ledger.form import microseconds

# The destination keeps what it could not post for 7 days (Braze, 11.1).
KEPT_IDS = timedelta(days=14)
_ROWS_AT_ONCE = 20_000  # as Python values
_CAMPAIGN_DAY = {name: CAMPAIGN_DAYS[name] for name in CAMPAIGN_DAY_KEY}
_SERIES = pl.Schema({**_CAMPAIGN_DAY, **dict.fromkeys(tables.SERIES_COUNTS, pl.Int64()), "campaign_name": pl.String()})
CAMPAIGN_COUNTS = pl.Schema(
    {
        **_CAMPAIGN_DAY,
        "campaign_name": pl.String(),
        **dict.fromkeys([*COUNTS, "unique_opens", "unique_clicks"], pl.Int64()),  # null where it was not told
    }
)


class Engagement(Erasures):
    """The state of the engagement of each sync that returns it."""

    def folded_to(self, sync: str) -> int:
        """`seq` of the last post that was folded; 0 before the first."""
        cursor = tables.engagement_cursor.c
        with self.reading("read how far the inbox was folded") as connection:
            return connection.execute(sa.select(cursor.seq).where(cursor.sync == sync)).scalar() or 0

    def folded_by_all(self) -> int | None:
        """`seq` of the last post that every sync has folded; None where none ever did."""
        with self.reading("read how far the inbox was folded") as connection:
            return connection.execute(sa.select(sa.func.min(tables.engagement_cursor.c.seq))).scalar()

    def not_seen(self, sync: str, events: pl.DataFrame) -> pl.DataFrame:
        """The events that no fold of this sync has recorded, each once; `events` as of `with_id_hashes`."""
        table = tables.engagement_seen.c
        frames = [pl.DataFrame(schema=EVENT_IDS)]
        with self.reading("read which events were folded") as connection:
            for numbers in integer_lists(events["hour"]):
                hours = [int(number) for number in numbers.split(",")]
                chosen = sa.select(table.hour, table.ids).where(table.sync == sync, table.hour.in_(hours))
                for hour, ids in connection.execute(chosen):
                    frames.append(unpack_ids(ids).to_frame().select(pl.lit(hour, pl.Int64).alias("hour"), "id_hash"))
        seen, key = pl.concat(frames), EVENT_IDS.names()
        fresh = events.select(key).with_row_index("place").unique(key, keep="any").join(seen, on=key, how="anti")
        return events[fresh["place"].sort()]

    def erasures(self) -> tuple[int, int]:
        """Another pair of numbers whenever somebody was asked to be erased, or was released."""
        with self.reading("read who was erased") as connection:
            return _erasures(connection)

    def record_fold(
        self, sync: str, folded: Folded, ids: pl.DataFrame, *, after: int, to: int, erasures: tuple[int, int]
    ) -> None:
        """Add what was folded to the state, and move the cursor; the transaction holds all of it or none.

        Args:
            sync: name of the sync.
            folded: of the posts after `after` up to `to`.
            ids: EVENT_IDS of their events, also of those that added nothing.
            after: the cursor as it was when the posts were read.
            to: `seq` of the last of them.
            erasures: as `erasures` was before the events of erased people were taken out.

        Raises:
            LeaseHeldError: the run's lease was taken over.
            TransientError: meanwhile somebody was erased who may be among them, or the cursor is not at
                `after` any more: another run has folded these posts.
        """
        with self.reading("read the salt") as connection:
            salt = self._salt_of(connection)
        contacts, consents = _with_hashes(folded.contacts, salt), _with_hashes(folded.consents, salt)
        with self.writing("record engagement", fenced=True) as connection:
            if _erasures(connection) != erasures:
                raise TransientError(f"Somebody was erased while {sync} folded what was told: fold it again.")
            self._move_cursor(connection, sync, after, to)
            _add(connection, tables.engagement, sync, contacts)
            _add(connection, tables.engagement_consent, sync, consents)
            _add(connection, tables.campaign_day, sync, folded.campaign_days)
            seen = [
                {"sync": sync, "hour": hour, "seq": to, "at": self.now(), "ids": pack_ids(part["id_hash"])}
                for (hour,), part in ids.partition_by("hour", as_dict=True).items()
            ]
            if seen:
                connection.execute(sa.insert(tables.engagement_seen), seen)

    def told_of(self, sync: str, people: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """CONTACTS and CONSENTS of some people.

        Args:
            sync: name of the sync.
            people: PERSON.
        """
        with self.reading("read engagement") as connection:
            hashes = person_hashes(people, self._salt_of(connection))
            contacts, consents = (
                _read_state(connection, table, sync, columns, hashes)
                for table, columns in ((tables.engagement, CONTACTS), (tables.engagement_consent, CONSENTS))
            )
        # People whose names differ by case alone share a hash.
        return contacts.join(people, on=PERSON, how="semi"), consents.join(people, on=PERSON, how="semi")

    def known_people(self, sync: str) -> pl.DataFrame:
        """PERSON and `last_at` of everybody of whom anything was told."""
        columns = {**dict.fromkeys(PERSON, pl.String()), "last_at": pl.Int64()}
        frames = []
        with self.reading("read of whom something is known") as connection:
            for table in (tables.engagement, tables.engagement_consent):
                statement = (
                    f"SELECT person_kind, person, max(last_at) FROM {table.name} WHERE sync = ? "
                    "GROUP BY person_hash, person_kind, person"
                )
                frames.append(select_frame(connection, statement, (sync,), columns))
        everybody = pl.concat(frames).group_by(PERSON).agg(pl.col("last_at").max())
        return everybody.with_columns(pl.col("last_at").cast(INSTANT))

    def campaign_days(self, sync: str, since: date) -> pl.DataFrame:
        """CAMPAIGN_COUNTS from a day on, sorted: of what the destination told itself (`record_series`), what it told.

        Args:
            sync: name of the sync.
            since: first day, in UTC; the destination's own are of the company's time zone (Braze, 10.2).
        """
        first = (since - date(1970, 1, 1)).days
        with self.reading("read campaigns") as connection:
            series, counted = (
                _read_state(connection, table, sync, columns, where=f"AND day >= {first}")
                for table, columns in ((tables.series_day, _SERIES), (tables.campaign_day, CAMPAIGN_DAYS))
            )
            names = self._campaign_names(connection, sync)
        alone = counted.join(series, on=CAMPAIGN_DAY_KEY, how="anti")
        both = pl.concat([series, alone], how="diagonal").drop("campaign_name")
        named = both.join(names, on="campaign_id", how="left", maintain_order="left")
        return named.select(CAMPAIGN_COUNTS.names()).sort(CAMPAIGN_DAY_KEY)

    def campaign_names(self, sync: str) -> pl.DataFrame:
        """campaign_id (or a canvas's) and campaign_name, the newest."""
        with self.reading("read campaigns") as connection:
            return self._campaign_names(connection, sync)

    def record_series(self, sync: str, days: pl.DataFrame) -> None:
        """Keep what the destination itself counted: the same day told again replaces what was told.

        Args:
            sync: name of the sync.
            days: CAMPAIGN_DAYS of destinations/braze/series.py.
        """
        at = self.now()
        rows = days.select(
            pl.when(pl.col("campaign_id").is_not_null())
            .then(pl.lit("campaign"))
            .otherwise(pl.lit("canvas"))
            .alias("campaign_kind"),
            pl.coalesce("campaign_id", "canvas_id").alias("campaign_id"),
            "day",
            "channel",
            *tables.SERIES_COUNTS,
            pl.coalesce("campaign_name", "canvas_name").alias("campaign_name"),
        ).with_columns(newest("campaign_name", pl.lit(at)))
        update = (*tables.SERIES_COUNTS, "campaign_name")
        with self.writing("record campaigns", fenced=True) as connection:
            upsert(connection, tables.series_day, _stored(rows), constants={"sync": sync}, update=update)

    def address_digests(self, emails: pl.Series) -> pl.Series:
        """How addresses are named here: a keyed hash of each, without case and outer blanks."""
        digests = self.key_digests(Keyspace("email"), emails.to_list())
        return pl.Series("address", [each[:DIGEST_CHARACTERS] for each in digests], dtype=pl.String)

    def erased_events(self, events: pl.DataFrame) -> pl.Series:
        """One Boolean an event: whether it names somebody who was erased, by whichever identifier.

        Args:
            events: EVENTS.
        """
        erased = pl.repeat(value=False, n=events.height, eager=True)
        with self.reading("read who was erased") as connection:
            if connection.execute(sa.select(schema.erased.c.key_digest).limit(1)).first() is None:
                return erased
        for column, kind in (("external_id", "external_id"), ("email", "email"), ("phone", "phone")):
            erased |= self._blocked_values(Keyspace(kind), events[column])
        for label in events["alias_label"].drop_nulls().unique():
            names = events.select(pl.when(pl.col("alias_label") == label).then("alias_name")).to_series()
            erased |= self._blocked_values(Keyspace("user_alias", label), names)
        return erased

    def _blocked_values(self, keyspace: Keyspace, values: pl.Series) -> pl.Series:
        distinct = values.drop_nulls().unique()
        blocked = distinct.filter(self.blocked(keyspace, distinct))
        return values.is_in(blocked.implode()).fill_null(value=False)

    def _move_cursor(self, connection: sa.Connection, sync: str, after: int, to: int) -> None:
        table, now = tables.engagement_cursor, self.now()
        stands = connection.execute(sa.select(table.c.seq).where(table.c.sync == sync).with_for_update()).scalar() or 0
        if stands != after:
            raise TransientError(
                f"{sync}: another shard folded what was told up to post {stands} meanwhile, and this run began after "
                f"post {after}. Nothing was counted twice; fold the rest."
            )
        values = pl.DataFrame({"seq": [to], "at": [microseconds(now)]})
        upsert(connection, table, values, constants={"sync": sync}, update=("seq", "at"))

    def _campaign_names(self, connection: sa.Connection, sync: str) -> pl.DataFrame:
        named = {"campaign_id": pl.String(), "campaign_name": pl.String()}
        statement = " UNION ALL ".join(
            f"SELECT campaign_id, max(campaign_name) FROM {table.name} WHERE sync = ? GROUP BY campaign_id"
            for table in (tables.campaign_day, tables.series_day)
        )
        return campaign_names(select_frame(connection, statement, (sync, sync), named))


def _read_state(
    connection: sa.Connection,
    table: sa.Table,
    sync: str,
    columns: pl.Schema,
    hashes: pl.Series | None = None,
    *,
    where: str = "",
) -> pl.DataFrame:
    """Rows of a state, of some `person_hash` alone where they are given."""
    # Times and days travel as the integers they are stored as.
    stored = {name: pl.Int64() if dtype.is_temporal() else dtype for name, dtype in columns.items()}
    statement = f"SELECT {','.join(columns)} FROM {table.name} WHERE sync = ? {where}"
    if hashes is None:
        found = select_frame(connection, statement, (sync,), stored)
    else:
        found = select_among(connection, f"{statement} AND person_hash", (sync,), hashes, stored)
    # From a day's number to the day by way of 32 bits, as polars has it.
    days = [name for name, dtype in columns.items() if dtype == pl.Date]
    return found.with_columns(pl.col(days).cast(pl.Int32)).cast(columns)


def _erasures(connection: sa.Connection) -> tuple[int, int]:
    newest = sa.func.coalesce(sa.func.max(sa.type_coerce(schema.erased.c.at, sa.BigInteger)), 0)
    count, at = connection.execute(sa.select(sa.func.count(), newest).select_from(schema.erased)).one()
    return int(count), int(at)


def _with_hashes(rows: pl.DataFrame, salt: int) -> pl.DataFrame:
    # Side by side as the table keeps them: a page is written once.
    return rows.with_columns(person_hash=person_hashes(rows, salt)).sort("person_hash")


def _add(connection: sa.Connection, table: sa.Table, sync: str, rows: pl.DataFrame) -> None:
    key = {column.name for column in table.primary_key}
    merge: Mapping[str, Merge] = {name: _merge(name) for name in rows.columns if name not in key}
    stored = _stored(rows)
    for start in range(0, stored.height, _ROWS_AT_ONCE):
        upsert(connection, table, stored.slice(start, _ROWS_AT_ONCE), constants={"sync": sync}, merge=merge)


def _merge(column: str) -> Merge:
    """As `fold.combine` does."""
    if column in COUNTS:
        return "sum"
    return "min" if column == "first_at" else "max"


def _stored(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.selectors.datetime().dt.epoch("us"), pl.selectors.date().cast(pl.Int32).cast(pl.Int64))
