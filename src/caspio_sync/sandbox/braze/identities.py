"""What the identity endpoints do to profiles: aliases, and external ids renamed and removed (reference, section 5)."""

from typing import Any

Record = dict[str, Any]
Alias = tuple[str, str]  # label, name


class IdentityChanges:
    """The part of `ProfileStore` that changes who a profile is; it knows external ids and aliases."""

    _by_external_id: dict[str, int]
    _by_alias: dict[Alias, int]
    _deprecated: dict[str, int]

    def read(self, number: int) -> Record:
        """As `ProfileStore.read`."""
        raise NotImplementedError

    def _write(self, number: int, record: Record) -> None:
        raise NotImplementedError

    def find(self, *, external_id: str | None = None, alias: Alias | None = None) -> int | None:
        """The profile with that external id, a former one included, or that (label, name) alias."""
        if external_id is not None:
            return self._by_external_id.get(external_id, self._deprecated.get(external_id))
        return self._by_alias.get(alias) if alias is not None else None

    def add_alias(self, number: int, alias: Alias) -> None:
        """Give a profile an alias that nobody has; of one label it keeps the first."""
        record = self.read(number)
        held = record.setdefault("user_aliases", [])
        if alias not in self._by_alias and all(each["alias_label"] != alias[0] for each in held):
            held.append({"alias_label": alias[0], "alias_name": alias[1]})
            self._by_alias[alias] = number
            self._write(number, record)

    def rename_alias(self, label: str, old: str, new: str) -> None:
        """Another name under the same label; nothing where nobody has the old one, or somebody the new one."""
        number = self._by_alias.get((label, old))
        if number is None or (label, new) in self._by_alias:
            return
        record = self.read(number)
        for each in record["user_aliases"]:
            if (each["alias_label"], each["alias_name"]) == (label, old):
                each["alias_name"] = new
        self._by_alias[label, new] = self._by_alias.pop((label, old))
        self._write(number, record)

    def rename(self, current: str, new: str) -> str | None:
        """Another external id; the old one still finds the profile. What is wrong; None where nothing is."""
        number = self._by_external_id.get(current)
        if number is None:
            return "current_external_id is not a primary external id"
        if new in self._by_external_id or new in self._deprecated:
            return "new_external_id is in use"
        self._deprecated[current] = self._by_external_id.pop(current)
        self._by_external_id[new] = number
        self._write(number, {**self.read(number), "external_id": new})
        return None

    def remove_deprecated(self, external_id: str) -> bool:
        """Forget a former external id; whether it was one."""
        return self._deprecated.pop(external_id, None) is not None
