"""What stands in for Great Expectations in most killed runs, of whose time it would be four fifths."""

from types import SimpleNamespace
from typing import Any


def plain_gate() -> None:
    """What Great Expectations would say of the suites: all of their expectations ask for a column of trues, a least or a most."""
    from expectations.gate import Gate

    def keep(self: Any, _name: str, expectations: Any, limits: Any) -> None:
        self._asked = [each.configuration for each in expectations]
        self._limits = limits

    def validate(self: Any, rows: Any) -> list[Any]:
        results = []
        for asked in self._asked:
            column = rows[asked.kwargs["column"]]
            if asked.type in {"expect_column_min_to_be_between", "expect_column_max_to_be_between"}:
                low, high = asked.kwargs.get("min_value"), asked.kwargs.get("max_value")
                enough = (low is None or column.min() >= low) and (high is None or column.max() <= high)
                results.append(SimpleNamespace(expectation_config=asked, exception_info={}, result={}, success=enough))
                continue
            assert asked.kwargs["value_set"] == [True]
            wrong = [place for place, kept in enumerate(column.to_list()) if kept is False]
            told = {"unexpected_index_list": wrong}
            results.append(SimpleNamespace(expectation_config=asked, exception_info={}, result=told, success=not wrong))
        return results

    Gate.__init__ = keep  # type: ignore[assignment]
    Gate.validate = validate  # type: ignore[method-assign]
