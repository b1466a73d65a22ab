"""What a sync file says of posts that are its rows: where in the JSON each field stands, and of which type it is."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from caspio_sync.json_paths import path
from caspio_sync.mapping.field import AsTuple, Shortened
from caspio_sync.places import POSTS_PATH

PostedType = Literal["text", "integer", "number", "boolean", "list", "unix", "unix_ms"]
_TAKEN = frozenset({"pk_id", "source_pk", "uncastable"})  # columns of every frame


def _one_value(text: str) -> str:
    if None in path(text).steps:
        raise ValueError("[*] finds several values, and a field is one; name a position, or the list as `type: list`")
    return text


def _posts_path(text: str) -> str:
    if not POSTS_PATH.fullmatch(text):
        raise ValueError(f"'{text}' is no path to post to; write /in/ and a name of a-z, 0-9, - and _: /in/orders")
    return text


def _own_names(fields: Mapping[str, "PostedField"]) -> Mapping[str, "PostedField"]:
    if taken := [name for name in fields if name.lower() in _TAKEN]:
        raise ValueError(f"'{taken[0]}' is what every row has already; call it otherwise")
    return fields


class PostedField(Shortened):
    """A field of a post; may be written as the bare path.

    Args:
        path: of names and positions, such as $.customer.email or $.items[0].code.
        type: `text`, as it is written, an object or a list as its JSON; `integer`, `number`, `boolean`; `list`, of
            texts; `unix` and `unix_ms`, seconds and milliseconds since 1970. A value that is none of its type has its
            row held.
    """

    short = ("path", "where it stands, such as $.customer.email")
    path: Annotated[str, AfterValidator(_one_value)]
    type: PostedType = "text"


PostsPath = Annotated[str, AfterValidator(_posts_path)]
PostedName = Annotated[str, Field(pattern=r"^[^\W\d]\w{0,127}$")]
PostedFields = Annotated[Mapping[PostedName, PostedField], AfterValidator(_own_names)]
PostedWords = Mapping[PostedName, Annotated[tuple[str, ...], AsTuple, Field(min_length=1)]]
