"""What a column may hold, guessed by its name and type, for the proposal of a first sync file."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from caspio_sync.errors import ConfigurationError
from caspio_sync.mapping.proposed_lines import KEY_TYPES, bare
from caspio_sync.schemas import CaspioField

# Spellings met in customer tables, without blanks, signs and case, and the standard attribute that is meant.
_MEANT = MappingProxyType(
    {
        "firstname": "first_name", "forename": "first_name", "givenname": "first_name",
        "lastname": "last_name", "surname": "last_name", "familyname": "last_name",
        "email": "email", "emailaddress": "email", "mail": "email",
        "phone": "phone", "phonenumber": "phone", "mobile": "phone", "mobilephone": "phone", "cell": "phone",
        "country": "country", "countrycode": "country",
        "city": "home_city", "town": "home_city", "homecity": "home_city",
        "language": "language", "lang": "language", "gender": "gender", "sex": "gender",
        "birthdate": "dob", "birthday": "dob", "dateofbirth": "dob", "dob": "dob",
        "timezone": "time_zone", "imageurl": "image_url", "photourl": "image_url",
    }
)  # fmt: skip
_STATE = re.compile(r"consent|optin|subscri|newsletter|permission")
TEXTS = frozenset({"STRING", "TEXT"})
NOTHING: Mapping[str, str] = MappingProxyType({})


def key_of(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    """The field that most likely names a person.

    Raises:
        ConfigurationError: none can.
    """
    candidates = [field for field in fields if field.type in KEY_TYPES]
    if not candidates:
        raise ConfigurationError(
            f"{table}: no field can name a profile; add a unique Text or Integer field to the table"
        )
    return max(candidates, key=lambda field: (field.unique, _names_a_person(field), -fields.index(field)))


def address_of(table: str, fields: Sequence[CaspioField]) -> CaspioField:
    """The field with the e-mail address.

    Raises:
        ConfigurationError: none is called so.
    """
    candidates = [field for field in fields if meant(field) == "email" and field.type in TEXTS]
    if not candidates:
        raise ConfigurationError(f"{table}: no text field is called Email or the like; add one, or name it so")
    return max(candidates, key=lambda field: field.unique)


def meant(field: CaspioField) -> str | None:
    """The standard attribute that the field's name speaks of; None for none."""
    return _MEANT.get(bare(field))


def _names_a_person(field: CaspioField) -> bool:
    return re.search(r"(?i)(?:id|no|nr|number|key|code)$", field.name) is not None and meant(field) is None


def is_state(field: CaspioField) -> bool:
    """Whether the field seems to hold a subscription state."""
    return field.type in {"YES/NO", *TEXTS} and _STATE.search(bare(field)) is not None
