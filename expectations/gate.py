"""The gate: Great Expectations judges a batch; the only file that knows pandas.

A suite is a list of expectations, each with a severity and, in `meta`, why it exists. A critical expectation about rows
sets the failing rows aside; a critical one about the batch blocks it; a warning is reported and stops nothing.

What surely passes (passing.py) is not asked of Great Expectations, unless the gate is told to ask it always: it takes
two seconds to load, and then a tenth of a second a batch. Whatever is left, it judges, and its finding is what counts.
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from caspio_sync.engine.gates import Judgement
from caspio_sync.errors import ConfigurationError
from caspio_sync.ledger.held import WAITS
from caspio_sync.schemas import HELD_BEFORE, PROBLEMS, CheckResult
from expectations.fit import base_of, columns_of, viewed
from expectations.passing import is_known, surely_passes

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# GX keeps the frame on the shared asset: without this lock one thread validates another's rows, and says nothing.
_ONE_AT_A_TIME = threading.Lock()
# Messages of pandas and GX quote the values they stumble over.
_QUOTED = re.compile(r"""(['"]).*?\1""")
_MESSAGE_CHARS = 200
# Asked one by one, each takes up to a fifth of what a whole suite takes.
_FEW = 4
_PLACE = "_place"  # in the meta of what is asked: where its expectation stands in the gate
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


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expectation in Great Expectations' own form, which `made` makes one of its objects.

    Args:
        type: its name, in snake case.
        kwargs: its arguments.
        severity: "critical" or "warning".
        meta: what is kept beside it: `name`, `why`, and `at_any_size` where one about the batch says something of the
            smallest one.
    """

    type: str
    kwargs: Mapping[str, Any]
    severity: str
    meta: Mapping[str, Any]
    is_known: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_known", is_known(self.type, self.kwargs))

    @property
    def name(self) -> str:
        """What it is called where its findings are told."""
        return str(self.meta.get("name", self.type))

    def made(self, **more_meta: Any) -> Any:
        """As Great Expectations has it, which raises whatever it likes where it does not know type or arguments."""
        import great_expectations.expectations as gxe  # noqa: PLC0415 - 2 s, only for those who need its judgement
        from great_expectations.expectations.registry import get_expectation_impl  # noqa: PLC0415

        assert gxe  # registers the core expectations
        return get_expectation_impl(self.type)(**self.kwargs, severity=self.severity, meta={**self.meta, **more_meta})

    def found(self, rows: int, failed: int, *, passed: bool) -> CheckResult:
        """A finding about so many rows."""
        why = str(self.meta.get("why", ""))
        return CheckResult(name=self.name, why=why, severity=self.severity, rows=rows, failed=failed, passed=passed)


def warm() -> None:
    """Import what Great Expectations takes; whoever needs it meanwhile waits for it."""
    with contextlib.suppress(Exception):  # it is said where it matters: by who needs it
        import great_expectations.expectations  # noqa: F401, PLC0415 - as in Expectation


class Gate:
    """A suite, ready to judge batches.

    Args:
        name: name of the suite.
        expectations: about rows or about the batch.
        limits: when too much of a batch fails.
        always: whether Great Expectations is asked about what surely passes, too.
    """

    def __init__(
        self, name: str, expectations: Sequence[Expectation], limits: GateLimits, *, always: bool = False
    ) -> None:
        self._name = name
        self._expectations = list(expectations)
        self._limits = limits
        self._always = always
        self._suites: _Suites | None = None

    @property
    def always_asks(self) -> bool:
        """Whether no batch can be judged without Great Expectations."""
        return self._always or not all(each.is_known for each in self._expectations)

    def judge(self, rows: pl.DataFrame) -> Judgement:
        """Judge a batch.

        Args:
            rows: the full mapped rows with the columns the suite names, `source_pk` and `problems`. Rows that the gate
                held before (`_held_before`, where it is there) are judged like all, but they are no news: limits and
                expectations about the batch are about the others.

        Raises:
            ConfigurationError: an expectation names a field that the sync does not map, or cannot be judged.
        """
        started = time.perf_counter()
        if rows.is_empty():  # an empty frame would pass every expectation about rows, and say nothing
            return Judgement.of_nothing(rows)
        self._look_for_columns(rows)
        asked = [place for place, each in enumerate(self._expectations) if self._always or not _surely(each, rows)]
        with _ONE_AT_A_TIME:
            results = dict(zip(asked, self.validate(rows, asked), strict=True)) if asked else {}
        checks: list[CheckResult] = []
        failed_rows: list[pl.DataFrame] = []
        blocked: list[str] = []
        for place, each in enumerate(self._expectations):
            if place not in results:
                checks.append(each.found(rows.height, 0, passed=True))
                continue
            check, positions = _read(each, results[place], rows.height)
            checks.append(check)
            if check.severity == "warning":
                continue
            if positions:
                failed_rows.append(pl.DataFrame({"_place": positions, "_name": check.name}))
            elif not check.passed and (each.meta.get("at_any_size") or _news(rows) >= self._limits.min_rows):
                blocked.append(f"{check.name}: {check.why}")
        held, accepted = _split(rows, failed_rows)
        failed = held.filter(~pl.col("reason").str.starts_with(WAITS))  # what waits is no sign of a mistake
        if (share := self._too_many(_news(failed), _news(rows))) is not None:
            blocked.append(f"{share}; most frequent: {_most_frequent(checks)}")
        return Judgement(accepted, held, tuple(checks), "; ".join(blocked) or None, time.perf_counter() - started)

    def validate(self, rows: pl.DataFrame, places: Sequence[int]) -> list[Any]:
        """What Great Expectations finds of the expectations at some places.

        Raises:
            ConfigurationError: one cannot be judged.
        """
        if self._suites is None:
            self._suites = _Suites(self._name, self._expectations)
        if len(places) <= _FEW:
            return [result for place in places for result in self._suites.validate(rows, [place])]
        whole = self._suites.validate(rows, range(len(self._expectations)))  # a suite for each choice would be many
        return [whole[place] for place in places]

    def _look_for_columns(self, rows: pl.DataFrame) -> None:
        columns = sorted({base_of(column) for each in self._expectations for column in columns_of(each.kwargs)})
        if missing := [column for column in columns if column not in rows.columns]:
            raise ConfigurationError(
                f"gate: an expectation names {', '.join(missing)}, which the sync does not map; "
                "name a mapped field in gate.expectations, or map it"
            )

    def _too_many(self, held: int, judged: int) -> str | None:
        limits = self._limits
        if judged >= limits.min_rows and held > limits.max_quarantined_share * judged:
            return f"{held} of {judged} rows failed, more than {limits.max_quarantined_share:.0%}"
        if judged < limits.min_rows and held > limits.max_quarantined_rows:
            return f"{held} of {judged} rows failed, more than {limits.max_quarantined_rows}"
        return None


class _Suites:
    """Great Expectations, with suites of some of a gate's expectations; to be used by one thread at a time.

    Args:
        name: of the gate.
        expectations: of the gate.
    """

    def __init__(self, name: str, expectations: Sequence[Expectation]) -> None:
        import great_expectations as gx  # noqa: PLC0415 - as in Expectation

        # This module sets its own level, and tells of every temporary folder.
        logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
        self._name = name
        self._expectations = expectations
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        asset = self._context.data_sources.add_pandas(name).add_dataframe_asset(name)
        self._whole = asset.add_batch_definition_whole_dataframe(name)
        self._validations: dict[tuple[int, ...], Any] = {}

    def validate(self, rows: pl.DataFrame, places: Sequence[int]) -> list[Any]:
        """A result for each of the expectations at these places, in their order; raises as `Gate.validate`."""
        import pandas as pd  # noqa: PLC0415 - with great_expectations

        asked = [self._expectations[place] for place in places]
        columns = sorted({column for each in asked for column in columns_of(each.kwargs)})
        conditions = " ".join(str(each.kwargs.get("row_condition") or "") for each in asked)
        conditional = [name for name in rows.columns if name in conditions and name not in columns]
        frame = pd.DataFrame(
            {name: viewed(rows, name).to_numpy() for name in columns}
            | {name: rows[name].to_numpy() for name in conditional}
        )
        try:
            validation = self._validation(tuple(places))
            outcome = validation.run(batch_parameters={"dataframe": frame}, result_format=_ROW_POSITIONS)
        except Exception as error:
            # Mostly it tells an error in its result; where it raises one, nothing says which expectation it was.
            raise ConfigurationError(
                f"gate: Great Expectations cannot evaluate the suite ({type(error).__name__}); "
                "`caspio-sync check` tries each expectation of the sync file and names the one"
            ) from error
        # Those that it could not evaluate it tells first.
        return sorted(outcome.results, key=lambda result: places.index(result.expectation_config.meta[_PLACE]))

    def _validation(self, places: tuple[int, ...]) -> Any:
        import great_expectations as gx  # noqa: PLC0415 - as in Expectation

        if places not in self._validations:
            name = f"{self._name} {len(self._validations)}"
            made = [self._expectations[place].made(**{_PLACE: place}) for place in places]
            suite = self._context.suites.add(gx.ExpectationSuite(name=name, expectations=made))
            self._validations[places] = self._context.validation_definitions.add(
                gx.ValidationDefinition(name=name, data=self._whole, suite=suite)
            )
        return self._validations[places]


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
    expectation = Expectation(type_, kwargs, severity, {"name": type_, **meta})
    if expectation.is_known:
        return expectation
    try:
        expectation.made()
    except Exception as error:
        said = ", ".join(line.strip() for line in str(error).splitlines()) or type(error).__name__
        raise ConfigurationError(
            f"{place}{': ' if place else ''}gate.expectations: {type_} with {sorted(kwargs)}: {said}; "
            "give a core Great Expectations type in snake case and its own arguments"
        ) from error
    return expectation


def _surely(expectation: Expectation, rows: pl.DataFrame) -> bool:
    if not expectation.is_known:
        return False
    values = viewed(rows, str(expectation.kwargs["column"]))
    return surely_passes(expectation.type, expectation.kwargs, values)


def _read(expectation: Expectation, result: Any, rows: int) -> tuple[CheckResult, list[int]]:
    """A result as a check, and the positions of the rows that failed it."""
    broken = [info for info in _exceptions(result.exception_info) if info]
    if broken:
        said = _QUOTED.sub("…", str(broken[0]))[:_MESSAGE_CHARS]
        raise ConfigurationError(f"gate: {expectation.name} could not be evaluated: {said}; correct its arguments")
    positions = [int(place) for place in result.result.get("unexpected_index_list") or []]
    failed = len(positions) if positions else int(not result.success)
    return expectation.found(rows, failed, passed=bool(result.success)), positions


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
