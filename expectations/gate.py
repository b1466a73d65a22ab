"""The gate: Great Expectations judges a batch; the only file that knows pandas.

A suite is a list of expectations, each with a severity and, in `meta`, why it exists. A critical expectation about rows
sets the failing rows aside; a critical one about the batch blocks it; a warning is reported and stops nothing.
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from caspio_sync.engine.gates import Judgement
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.held import WAITS
from caspio_sync.schemas import HELD_BEFORE, PROBLEMS, CheckResult
from expectations.fit import base_of, columns_of, viewed

if TYPE_CHECKING:
    from great_expectations.expectations import expectation

Expectation: TypeAlias = "expectation.Expectation"  # for those who make suites; the library itself takes 3.5 s to load

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# GX keeps the frame on the shared asset: without this lock one thread validates another's rows, and says nothing.
_ONE_AT_A_TIME = threading.Lock()
# Messages of pandas and GX quote the values they stumble over.
_QUOTED = re.compile(r"""(['"]).*?\1""")
_MESSAGE_CHARS = 200
_ROW_POSITIONS = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


@dataclass(frozen=True, slots=True)
class GateLimits:
    """When too much of a batch fails (gate: in the sync file).

    Args:
        max_quarantined_share: share of the batch's judged rows that may be set aside, from `min_rows` on.
        min_rows: below that many judged rows the share says nothing, and batch expectations do not apply, those with
            `at_any_size` in their meta apart.
        max_quarantined_rows: rows that may be set aside in a batch of fewer than `min_rows`.
    """

    max_quarantined_share: float = 0.1
    min_rows: int = 200
    max_quarantined_rows: int = 20


def warm() -> None:
    """Import what a `Gate` takes; whoever makes one meanwhile waits for it."""
    with contextlib.suppress(Exception):  # it is said where it matters: by who makes a gate
        import great_expectations.expectations  # noqa: F401, PLC0415 - as in Gate


class Gate:
    """A suite, ready to judge batches; importing Great Expectations takes seconds and happens here.

    Args:
        name: name of the suite.
        expectations: about rows or about the batch, each with `severity` and `meta`.
        limits: when too much of a batch fails.
    """

    def __init__(self, name: str, expectations: Sequence[Expectation], limits: GateLimits) -> None:
        import great_expectations as gx  # noqa: PLC0415 - 3.5 s, only for those who judge

        # This module sets its own level, and tells of every temporary folder.
        logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=list(expectations)))
        asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
        whole = asset.add_batch_definition_whole_dataframe(name)
        self._validation = context.validation_definitions.add(
            gx.ValidationDefinition(name=name, data=whole, suite=suite)
        )
        self._columns = sorted({column for each in expectations for column in columns_of(each.configuration.kwargs)})
        self._conditions = " ".join(str(each.configuration.kwargs.get("row_condition") or "") for each in expectations)
        self._limits = limits

    def judge(self, rows: pl.DataFrame) -> Judgement:
        """Judge a batch.

        Args:
            rows: the full mapped rows with the columns the suite names, `source_pk` and `problems`. Rows that the gate
                held before (`_held_before`, where it is there) are judged like all, but they are no news: limits and
                expectations about the batch are about the others.
        """
        started = time.perf_counter()
        if rows.is_empty():  # an empty frame would pass every expectation about rows, and say nothing
            return Judgement.of_nothing(rows)
        with _ONE_AT_A_TIME:
            results = self.validate(rows)
        checks: list[CheckResult] = []
        failed_rows: list[pl.DataFrame] = []
        blocked: list[str] = []
        for result in results:
            check, positions = _read(result, rows.height)
            checks.append(check)
            if check.severity == "warning":
                continue
            if positions:
                failed_rows.append(pl.DataFrame({"_place": positions, "_name": check.name}))
            elif not check.passed and (_at_any_size(result) or _news(rows) >= self._limits.min_rows):
                blocked.append(f"{check.name}: {check.why}")
        held, accepted = _split(rows, failed_rows)
        failed = held.filter(~pl.col("reason").str.starts_with(WAITS))  # what waits is no sign of a mistake
        if (share := self._too_many(_news(failed), _news(rows))) is not None:
            blocked.append(f"{share}; most frequent: {_most_frequent(checks)}")
        return Judgement(accepted, held, tuple(checks), "; ".join(blocked) or None, time.perf_counter() - started)

    def validate(self, rows: pl.DataFrame) -> list[Any]:
        """What Great Expectations finds of each expectation.

        Raises:
            ConfigurationError: one names a field that the sync does not map, or cannot be judged.
        """
        import pandas as pd  # noqa: PLC0415 - with great_expectations

        missing = [base_of(column) for column in self._columns if base_of(column) not in rows.columns]
        if missing:
            raise ConfigurationError(
                f"gate: an expectation names {', '.join(missing)}, which the sync does not map; "
                "name a mapped field in gate.expectations, or map it"
            )
        conditional = [name for name in rows.columns if name in self._conditions and name not in self._columns]
        frame = pd.DataFrame(
            {name: viewed(rows, name).to_numpy() for name in self._columns}
            | {name: rows[name].to_numpy() for name in conditional}
        )
        try:
            outcome = self._validation.run(batch_parameters={"dataframe": frame}, result_format=_ROW_POSITIONS)
        except Exception as error:
            # Mostly it tells an error in its result; where it raises one, nothing says which expectation it was.
            raise ConfigurationError(
                f"gate: Great Expectations cannot evaluate the suite ({type(error).__name__}); "
                "`caspio-sync check` tries each expectation of the sync file and names the one"
            ) from error
        return list(outcome.results)

    def _too_many(self, held: int, judged: int) -> str | None:
        limits = self._limits
        if judged >= limits.min_rows and held > limits.max_quarantined_share * judged:
            return f"{held} of {judged} rows failed, more than {limits.max_quarantined_share:.0%}"
        if judged < limits.min_rows and held > limits.max_quarantined_rows:
            return f"{held} of {judged} rows failed, more than {limits.max_quarantined_rows}"
        return None


def expectation_from(
    type_: str, kwargs: dict[str, Any], *, severity: str, meta: dict[str, Any], place: str = ""
) -> Expectation:
    """An expectation in Great Expectations' own form, as a sync file gives it.

    Args:
        type_: its name, in snake case.
        kwargs: its arguments.
        severity: "critical" or "warning".
        meta: what is kept beside it, such as `why`.
        place: `file:line` of the sync file it comes from.

    Raises:
        ConfigurationError: naming the type or the argument that Great Expectations does not know.
    """
    import great_expectations.expectations as gxe  # noqa: PLC0415
    from great_expectations.expectations.registry import get_expectation_impl  # noqa: PLC0415

    assert gxe  # registers the core expectations
    try:
        return get_expectation_impl(type_)(**kwargs, severity=severity, meta={"name": type_, **meta})
    except Exception as error:
        said = ", ".join(line.strip() for line in str(error).splitlines()) or type(error).__name__
        raise ConfigurationError(
            f"{place}{': ' if place else ''}gate.expectations: {type_} with {sorted(kwargs)}: {said}; "
            "give a core Great Expectations type in snake case and its own arguments"
        ) from error


def _read(result: Any, rows: int) -> tuple[CheckResult, list[int]]:
    """A result as a check, and the positions of the rows that failed it."""
    configuration = result.expectation_config
    meta = configuration.meta or {}
    name = str(meta.get("name", configuration.type))
    broken = [info for info in _exceptions(result.exception_info) if info]
    if broken:
        said = _QUOTED.sub("…", str(broken[0]))[:_MESSAGE_CHARS]
        raise ConfigurationError(f"gate: {name} could not be evaluated: {said}; correct its arguments")
    positions = [int(place) for place in result.result.get("unexpected_index_list") or []]
    check = CheckResult(
        name=name,
        why=str(meta.get("why", "")),
        severity=str(getattr(configuration.severity, "value", configuration.severity)),
        rows=rows,
        failed=len(positions) if positions else int(not result.success),
        passed=bool(result.success),
    )
    return check, positions


def _at_any_size(result: Any) -> bool:
    """Whether an expectation about the batch says something of the smallest one (`meta: {at_any_size: true}`)."""
    return bool((result.expectation_config.meta or {}).get("at_any_size"))


def _exceptions(info: Any) -> list[str | None]:
    """GX gives one exception, or one a metric."""
    if not isinstance(info, dict):
        return []
    if "raised_exception" in info:
        return [info.get("exception_message")] if info["raised_exception"] else []
    return [each.get("exception_message") for each in info.values() if each.get("raised_exception")]


def _news(rows: pl.DataFrame) -> int:
    return rows.height - int(rows[HELD_BEFORE].sum()) if HELD_BEFORE in rows.columns else rows.height


def _split(rows: pl.DataFrame, failed: list[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    if not failed:
        return rows.clear().with_columns(reason=pl.lit("")), rows
    reasons = (
        pl.concat(failed)
        .group_by("_place", maintain_order=True)
        .agg(pl.col("_name").str.join(", "))
        .with_columns(pl.col("_place").cast(pl.Int64))
    )
    places = pl.DataFrame({"_place": pl.int_range(rows.height, eager=True)})
    names = places.join(reasons, on="_place", how="left", maintain_order="left")["_name"]
    failing = names.is_not_null()
    reason = pl.concat_str(names.filter(failing), PROBLEMS, separator=" | ", ignore_nulls=True)
    return rows.filter(failing).with_columns(reason=reason), rows.filter(~failing)


def _most_frequent(checks: Sequence[CheckResult]) -> str:
    critical = (check for check in checks if check.severity == "critical" and check.failed)
    failed = sorted(critical, key=lambda check: -check.failed)
    return ", ".join(f"{check.name} ({check.failed})" for check in failed[:3])
