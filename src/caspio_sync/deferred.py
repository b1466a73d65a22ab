"""Libraries that are imported when they are first used: those that take long, and that many commands end without.

`from caspio_sync.deferred import np` reads as the import that it stands for. Annotations that name something of
numpy need `from __future__ import annotations`, or they would load it.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["fernet", "np", "phonenumbers", "pycountry"]


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


if TYPE_CHECKING:
    import numpy as np
    import phonenumbers
    import pycountry
    from cryptography import fernet
else:
    fernet = _Deferred("cryptography.fernet")
    np = _Deferred("numpy")
    phonenumbers = _Deferred("phonenumbers")
    pycountry = _Deferred("pycountry")
