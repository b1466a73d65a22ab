"""What stands in for Great Expectations in most killed runs, of whose time it would be four fifths."""

from types import SimpleNamespace
from typing import Any


def plain_gate() -> None:
    """What Great Expectations would say of the suites: all of their expectations ask for a column of trues, a least or a most."""
    from expectations.gate import Gate

    def validate(self: Any, rows: Any, places: Any) -> list[Any]:
        results = []
        for place in places:
            asked = self._expectations[place]
            column = rows[asked.kwargs["column"]]
            if asked.type in {"expect_column_min_to_be_between", "expect_column_max_to_be_between"}:
                low, high = asked.kwargs.get("min_value"), asked.kwargs.get("max_value")
                enough = (low is None or column.min() >= low) and (high is None or column.max() <= high)
                results.append(SimpleNamespace(exception_info={}, result={}, success=enough))
                continue
            assert asked.kwargs["value_set"] == [True]
            wrong = [place for place, kept in enumerate(column.to_list()) if kept is False]
            told = {"unexpected_index_list": wrong}
            results.append(SimpleNamespace(exception_info={}, result=told, success=not wrong))
        return results

    Gate.validate = validate  # type: ignore[method-assign]
