import base64

import pytest
from pydantic import SecretStr

from caspio_sync.errors import ConfigurationError
from caspio_sync.sealed import Sealer, new_key


def keys(*given: str) -> SecretStr:
    return SecretStr(", ".join(given))


def test_what_is_sealed_shows_nothing_and_opens_as_it_was() -> None:
    sealer, text = Sealer(keys(new_key())), b'{"email": "ada@example.com"}' * 3
    sealed = sealer.seal(text)
    assert b"ada" not in sealed
    assert b"ada" not in base64.urlsafe_b64decode(sealed)
    assert sealer.open(sealed) == text
    assert sealer.seal(text) != sealed


def test_a_former_key_opens_and_the_present_one_seals() -> None:
    former, present = new_key(), new_key()
    old = Sealer(keys(former)).seal(b"{}")
    assert Sealer(keys(present, former)).open(old) == b"{}"
    new = Sealer(keys(present, former)).seal(b"{}")
    assert Sealer(keys(present)).open(new) == b"{}"
    for sealed, other in ((old, present), (new, former)):
        assert Sealer(keys(other)).opened(sealed) is None
        with pytest.raises(ConfigurationError, match="cannot be opened by CASPIO_SYNC_PAYLOAD_KEYS"):
            Sealer(keys(other)).open(sealed)


def test_what_was_altered_is_not_opened() -> None:
    sealer = Sealer(keys(new_key()))
    sealed = bytearray(sealer.seal(b"{}"))
    sealed[40] ^= 1
    with pytest.raises(ConfigurationError, match="altered"):
        sealer.open(bytes(sealed))


@pytest.mark.parametrize(
    "given", [None, "short", base64.b64encode(b"x" * 31).decode(), "ä" * 44, f"{base64.b64encode(bytes(32)).decode()},"]
)
def test_no_key_or_none_of_its_kind_is_refused_without_showing_it(given: str | None) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Sealer(None if given is None else SecretStr(given))
    assert "openssl rand" in str(refused.value)
    assert given is None or given not in str(refused.value)
