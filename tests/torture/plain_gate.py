"""What stands in for Great Expectations in most killed runs, of whose time it would be four fifths."""

from types import SimpleNamespace
from typing import Any


def plain_gate() -> None:
    """What Great Expectations would say of the suites: all of their expectations ask for a column of trues, or a least."""
    from expectations.gate import Gate

    def keep(self: Any, _name: str, expectations: Any, limits: Any) -> None:
        self._asked = [each.configuration for each in expectations]
        self._limits = limits

    def validate(self: Any, rows: Any) -> list[Any]:
        results = []
        for asked in self._asked:
            if asked.type == "expect_column_min_to_be_between":
                enough = rows[asked.kwargs["column"]].min() >= asked.kwargs["min_value"]
                results.append(SimpleNamespace(expectation_config=asked, exception_info={}, result={}, success=enough))
                continue
            assert asked.kwargs["value_set"] == [True]
            wrong = [place for place, kept in enumerate(rows[asked.kwargs["column"]].to_list()) if kept is False]
            told = {"unexpected_index_list": wrong}
            results.append(SimpleNamespace(expectation_config=asked, exception_info={}, result=told, success=not wrong))
        return results

    Gate.__init__ = keep  # type: ignore[assignment]
    Gate.validate = validate  # type: ignore[method-assign]
