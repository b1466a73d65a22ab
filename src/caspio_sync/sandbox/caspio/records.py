"""Records as they are shown: each row is kept as the JSON of its record, cut to the selected fields page by page.

A row's JSON is stored in chunks, `{"PK_ID":41` `,"City":"Leeds"` … `},`, beside the offsets at which the chunks end, so
that a page of 1,000 records costs a few slices a record and no encoding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from struct import Struct

import numpy as np

END = b"},"


class RowShape:
    """Packs and cuts the records of one table.

    Args:
        names: the readable fields in the order of their chunks, PK_ID not among them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._ends = Struct(f"<{len(self.names) + 1}I")

    def pack(self, pk: int, chunks: Iterable[bytes]) -> tuple[bytes, bytes]:
        """The row's JSON and its offsets, as stored."""
        parts = [b'{"PK_ID":%d' % pk, *chunks]
        return b"".join(parts) + END, self._ends.pack(*accumulate(map(len, parts)))

    def chunks(self, row: bytes, ends: bytes) -> list[bytes]:
        """The chunks of a stored row, without that of PK_ID."""
        return [row[start:end] for start, end in pairwise(self._ends.unpack(ends))]

    def projection(self, names: Iterable[str], *, pk: str | None) -> "Projection":
        """The cut that leaves these fields.

        Args:
            names: readable fields.
            pk: "number" for PK_ID as tables show it, "text" as views do, None to leave it out.
        """
        wanted = set(names)
        keep = [pk == "number", *(name in wanted for name in self.names)]
        return Projection(tuple(keep), pk_text=pk == "text")


@dataclass(frozen=True, slots=True)
class Projection:
    """Which chunks of a row a page shows."""

    keep: tuple[bool, ...]
    pk_text: bool

    def page(self, rows: Sequence[tuple[int, bytes, bytes]]) -> bytes:
        """The JSON array of these rows (PK_ID, row, ends)."""
        if not rows:
            return b"[]"
        keys, texts, offsets = zip(*rows, strict=True)
        if not any(self.keep[1:]) and self.keep[0]:
            return b"[" + b",".join([b'{"PK_ID":%d}' % key for key in keys]) + b"]"
        if all(self.keep):
            return b"[" + b"".join(texts)[:-1] + b"]"
        pieces = self._pieces(texts, offsets)
        if self.keep[0]:
            return b"[" + b"".join(pieces) + b"]"
        return b"[" + self._rebuilt(keys, pieces) + b"]"

    def _pieces(self, texts: Sequence[bytes], offsets: Sequence[bytes]) -> list[bytes]:
        """What is kept of all rows in one list; a piece may run across the border of two rows."""
        page = b"".join(texts)
        ends = np.frombuffer(b"".join(offsets), "<u4").reshape(len(texts), -1).astype(np.int64)
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        first = np.cumsum(lengths) - lengths
        cuts = self._cuts()
        borders = np.empty((len(texts), len(cuts)), np.int64)
        for column, chunk in enumerate(cuts):
            within = 0 if chunk < 0 else ends[:, chunk]
            borders[:, column] = first + within
        flat = borders.ravel().tolist()
        starts, stops = [0, *flat[1::2]], [*flat[0::2], len(page) - 1]
        return [page[start:stop] for start, stop in zip(starts, stops, strict=True)]

    def _cuts(self) -> list[int]:
        """Chunks at whose ends the keeping stops and goes on, in turn; -1 is the row's start."""
        cuts = []
        keeping = True
        for chunk, kept in enumerate(self.keep):
            if kept != keeping:
                cuts.append(chunk - 1)
                keeping = kept
        if not keeping:
            cuts.append(len(self.keep) - 1)
        return cuts

    def _rebuilt(self, keys: Sequence[int], pieces: list[bytes]) -> bytes:
        """Rows that lost their opening with PK_ID's chunk."""
        # The first piece is empty (every row starts with a cut), and a row's last piece holds its end.
        per_row = (len(pieces) - 1) // len(keys)
        rows = []
        for number, key in enumerate(keys):
            body = b"".join(pieces[1 + number * per_row : 1 + (number + 1) * per_row])
            opening = b'{"PK_ID":"%d"' % key if self.pk_text else b"{"
            rows.append(opening + (body if self.pk_text else body.removeprefix(b",")))
        return b"".join(rows)
