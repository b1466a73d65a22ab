"""What is left of two profiles that become one (reference, section 5)."""

from typing import Any

Record = dict[str, Any]


def merged_counts(kept: list[Record], added: list[Record]) -> list[Record]:
    """Events or purchases of two profiles: counts are summed, the earliest first and the latest last time stay."""
    merged = {entry["name"]: entry for entry in kept}
    for entry in added:
        held = merged.get(entry["name"])
        merged[entry["name"]] = (
            entry
            if held is None
            else {
                **held,
                "first": min(held["first"], entry["first"]),
                "last": max(held["last"], entry["last"]),
                "count": held["count"] + entry["count"],
            }
        )
    return list(merged.values())
