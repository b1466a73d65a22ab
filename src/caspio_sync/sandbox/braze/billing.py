"""Data points: what each object sent is billed (reference, section 15)."""

from typing import Any

from caspio_sync.sandbox.braze.events import is_ecommerce

_NESTED = frozenset({list, dict})
_FREE = frozenset(
    {
        *(
            "external_id",
            "user_alias",
            "braze_id",
            "_update_existing_only",
            "_merge_objects",
            "push_token_import",
            "bio",
        ),
        *("email_subscribe", "push_subscribe", "subscription_groups", "push_tokens"),
        *("email_open_tracking_disabled", "email_click_tracking_disabled", "image_url", "facebook", "twitter"),
        *("date_of_first_session", "date_of_last_session", "marked_email_as_spam_at"),
    }
)


def attributes_points(item: dict[str, Any]) -> int:
    """One for each attribute sent, equal to the stored value or not; null bills too; consent and tokens are free."""
    points = 0
    for name, value in item.items():
        if name not in _FREE:
            points += _value_points(value) if type(value) in _NESTED else 1
    return points


def _value_points(value: Any) -> int:
    if type(value) is list:
        objects = [item for item in value if type(item) is dict]
        return sum(map(len, objects)) if objects else 1
    points = 0
    for key, part in value.items():
        if key in {"add", "remove", "$remove"} and type(part) is list:
            points += len(part)
        elif key == "$add" and type(part) is list:
            points += sum(len(item) for item in part if type(item) is dict)
        elif key == "$update" and type(part) is list:
            points += sum(len(item.get("$new_object", ())) for item in part if type(item) is dict)
        else:
            points += 1
    return points


def event_points(item: dict[str, Any]) -> int:
    """One for a custom event, none for a recommended eCommerce event."""
    return 0 if is_ecommerce(item["name"]) else 1


def purchase_points(item: dict[str, Any]) -> int:
    """One for each piece: a quantity counts as that many purchases (Braze, purchase object)."""
    return int(item.get("quantity", 1))
