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


def merged_records(kept: Record, gone: Record) -> Record:
    """A profile that took another one in: its own values win, what it lacks it takes over, and counts are summed."""
    merged = gone | kept
    for kind in ("custom_events", "purchases"):
        if entries := merged_counts(kept.get(kind) or [], gone.get(kind) or []):
            merged[kind] = entries
    for field in ("custom_attributes", "subscription_groups"):
        if both := (gone.get(field) or {}) | (kept.get(field) or {}):
            merged[field] = both
    for field in ("user_aliases", "push_tokens"):
        if both_lists := [*(kept.get(field) or []), *(gone.get(field) or [])]:
            merged[field] = both_lists
    if "total_revenue" in gone:
        merged["total_revenue"] = kept.get("total_revenue", 0.0) + gone["total_revenue"]
    return merged
