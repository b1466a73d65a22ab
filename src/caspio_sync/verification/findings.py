"""What a verification has found so far, and what of it the ledger is to take back."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from caspio_sync.deferred import np
from caspio_sync.ledger import fingerprints as fp
from caspio_sync.ledger.record import NO_VERSION
from caspio_sync.observe.verify_report import VerifyReport
from caspio_sync.schemas import KEY, SOURCE_PK, MappedColumn
from caspio_sync.verification.looking import Look


@dataclass(slots=True, eq=False)
class Findings:
    """Counts looks.

    Args:
        report: the counts so far.
        columns: the mapping's columns.
        title: of the destination, for people.
        by_key: whether rows are shown by their keys; keys that are personal are not.
    """

    report: VerifyReport
    columns: Sequence[MappedColumn]
    title: str
    by_key: bool

    def count(self, look: Look) -> None:
        """Count rows that have been judged."""
        report, rows = self.report, look.rows
        for state, count in rows["state"].value_counts().iter_rows():
            setattr(report, state, getattr(report, state) + count)
        report.fields += int(look.compared.sum())
        report.fields_equal += int(look.equal.sum())
        missing = rows["state"] == "missing"
        report.count_difference(f"({report.thing})", int(missing.sum()), self._examples(rows.filter(missing)))
        differs = look.compared & ~look.equal & ~missing.to_numpy()[:, None]
        for place, column in enumerate(self.columns):
            those = pl.Series(differs[:, place])
            examples = self._examples(rows.filter(those))
            report.count_difference(column.name, int(those.sum()), examples, kept=int(look.kept[:, place].sum()))
            if retyped := int(look.retyped[:, place].sum()):
                report.retyped[column.name] = report.retyped.get(column.name, 0) + retyped

    def taken_back(self, look: Look) -> pl.DataFrame:
        """Drifted rows as `Ledger.record_verified` takes them; they are counted as cleared.

        The fields that are to be sent again are no longer acknowledged; what is to be taken back is there all the same.
        """
        gone = (look.rows["state"] == "missing").to_numpy()
        differs = look.compared & ~look.equal
        again = differs & ~look.kept
        masks = fp.pack_mask(differs)
        names = [column.name for column in self.columns]
        withdrawn = np.array([column.on_null == "withdraw" for column in self.columns], dtype=np.bool_)
        left = np.where(withdrawn, np.uint64(fp.ANOTHER), np.uint64(fp.NEVER_SENT))
        distinct = masks.unique()
        told = [f"differs in {self.title}: " + ", ".join(fp.mask_names(mask, names)) for mask in distinct.to_list()]
        frame = look.rows.select(SOURCE_PK, found_fp="sent_fp").with_columns(
            masks,
            pl.Series("gone", gone),
            pl.Series("clears", again.any(axis=1) | gone),
            fp.pack(np.where(again, left, look.acknowledged)).alias("left_fields"),
            reason=masks.replace_strict(distinct, told, return_dtype=pl.String),
            kept=pl.Series(look.kept.any(axis=1)),
        )
        self.report.cleared += int(frame["clears"].sum())
        stays = f"; the consent in {self.title} is the stricter one and stays"
        stricter = pl.when("kept").then(pl.lit(stays)).otherwise(pl.lit(""))
        place = "the catalog" if self.report.thing == "item" else self.title
        nothing, there = f"{place} has no such {self.report.thing}", ~pl.col("gone")
        return frame.with_columns(
            left_fp=pl.when(there).then(pl.lit(NO_VERSION)),
            left_fields=pl.when(there).then("left_fields"),
            reason=pl.when(there).then(pl.concat_str("reason", stricter)).otherwise(pl.lit(nothing)),
        )

    def _examples(self, rows: pl.DataFrame) -> list[str]:
        shown = pl.col(KEY) if self.by_key else pl.format("PK_ID {}", SOURCE_PK)
        return rows.head(3).select(shown.alias("shown"))["shown"].to_list()
