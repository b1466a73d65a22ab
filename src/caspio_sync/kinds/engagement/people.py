"""What is known of some Caspio rows' people."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.engagement.fold import CONSENTS, PERSON
from caspio_sync.engagement.identity import EXTERNAL_ID, people_of_profiles, people_of_rows
from caspio_sync.engagement.measures import measures, newest_states, standing
from caspio_sync.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """What the destination has told of the people of some rows.

    Args:
        measures: `key` and MEASURES, of rows of which something is known.
        consents: as `standing` gives them.
        names: PERSON of the people that these rows are, each once.
    """

    measures: pl.DataFrame
    consents: pl.DataFrame
    names: pl.DataFrame

    @property
    def found(self) -> int:
        """How many people these rows are."""
        return self.names.height


def known_people(ledger: Ledger, sync: str, rows: pl.DataFrame) -> KnownPeople:
    """Find what was told of rows, by external_id, alias and e-mail; what several names tell of one row is added up.

    An address that several rows have tells of all of them. A profile's time before anybody knew who it was is found by
    the id that the destination gave it.

    Args:
        ledger: called in this thread.
        sync: name of the sync.
        rows: `key`, external_id, alias_label, alias_name, email.
    """
    people = people_of_rows(rows, ledger.address_digests)
    contacts, consents = _told(ledger, sync, people)
    profiles = people_of_profiles(contacts).unique()
    earlier, changes = _told(ledger, sync, profiles)
    contacts, consents = pl.concat([contacts, earlier]), pl.concat([consents, changes])
    return KnownPeople(
        measures=measures(contacts, ledger.campaign_names(sync)),
        consents=standing(consents),
        names=pl.concat([contacts.select(PERSON), consents.select(PERSON)]).unique(),
    )


def known_states(ledger: Ledger, sync: str, external_ids: Sequence[str]) -> pl.DataFrame:
    """KNOWN_STATES of destinations/braze/polls.py: the newest states, which a poll need not tell again."""
    people = pl.DataFrame({"person": external_ids}, {"person": pl.String}).unique()
    _, consents = ledger.told_of(sync, people.select(pl.lit(EXTERNAL_ID).alias("person_kind"), "person"))
    newest = newest_states(consents.select(CONSENTS.names()), ("person", "scope"))
    return newest.select(external_id="person", scope="scope", state="newest")


def _told(ledger: Ledger, sync: str, people: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """CONTACTS and CONSENTS of people, each with the `key` of every row that the person is."""
    contacts, consents = ledger.told_of(sync, people.select(PERSON).unique())
    return contacts.join(people, on=PERSON), consents.join(people, on=PERSON)
