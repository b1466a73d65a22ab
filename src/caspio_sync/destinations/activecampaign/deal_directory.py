"""The account's pipelines, stages and fields of deals by their titles: rows travel by title, calls by id.

Read once a run, all pages: a pipeline that was deleted meanwhile is refused by the account itself.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caspio_sync.destinations.activecampaign.client import TITLE, ActiveCampaignClient
from caspio_sync.wire.http import RateLimit, RefusedError

FIELDS = "/dealCustomFieldMeta"
MULTIPLE = frozenset({"multiselect", "checkbox"})  # types of deals' own fields that hold several choices


class DealRefusedError(RefusedError):
    """A row that can be no deal there: its own verdict, whatever becomes of others."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline.

    Args:
        id: its id.
        title: as people see it.
        assigns: whether it gives a deal without an owner one.
        stages: ids of its stages, by their titles.
    """

    id: str
    title: str
    assigns: bool
    stages: Mapping[str, list[str]] = field(default_factory=dict)


class DealDirectory:
    """Looks titles up; asks the account when the first one comes.

    Args:
        client: of the account.
    """

    def __init__(self, client: ActiveCampaignClient) -> None:
        self._client = client
        # Marks of deals whose making began in this run; one that was broken off may have been made all the same.
        self.begun: set[str] = set()
        self._pipelines: list[Pipeline] | None = None
        self._fields: dict[str, list[Mapping[str, Any]]] | None = None
        self._turn = asyncio.Lock()  # else every request of a run's first batch would read all pages

    async def pipelines(self) -> list[Pipeline]:
        """GET /dealGroups and /dealStages: every pipeline."""
        async with self._turn:
            if self._pipelines is None:
                groups = await self._client.rows("/dealGroups", "dealGroups", "reading pipelines")
                stages = await self._client.rows("/dealStages", "dealStages", "reading the stages of pipelines")
                self._pipelines = [_pipeline(group, stages) for group in groups]
            return self._pipelines

    async def pipeline(self, title: str) -> Pipeline:
        """The pipeline of this title.

        Raises:
            DealRefusedError: there is none, or there are several.
        """
        found = [each for each in await self.pipelines() if each.title == title]
        if len(found) != 1:
            there = ", ".join(f"'{each.title}'" for each in await self.pipelines()) or "none"
            number = "no pipeline" if not found else f"{len(found)} pipelines"
            raise refused(f"{TITLE} has {number} of this title; there are: {there}")
        return found[0]

    async def stage(self, pipeline: Pipeline, title: str) -> str:
        """The id of a pipeline's stage; as `pipeline` raises."""
        found = pipeline.stages.get(title, [])
        if len(found) != 1:
            there = ", ".join(f"'{each}'" for each in pipeline.stages) or "none"
            number = "no stage" if not found else f"{len(found)} stages"
            raise refused(f"the pipeline '{pipeline.title}' has {number} of this title; there are: {there}")
        return found[0]

    async def field(self, label: str) -> Mapping[str, Any] | None:
        """GET /dealCustomFieldMeta: the field of this label; None: there is none, or there are several."""
        async with self._turn:
            if self._fields is None:
                found: dict[str, list[Mapping[str, Any]]] = {}
                for each in await self._client.rows(FIELDS, "dealCustomFieldMeta", "reading the fields of deals"):
                    found.setdefault(str(each.get("fieldLabel")), []).append(each)
                self._fields = found
            known = self._fields.get(label, [])
            return known[0] if len(known) == 1 else None

    def forget_fields(self) -> None:
        """Fields were made: read them again when the next label comes."""
        self._fields = None


def refused(said: str) -> DealRefusedError:
    """A deal that the account would refuse, or do something else with; no value of the row is to be told."""
    return DealRefusedError(f"sending a deal: {said}", status=422, message_text=said, rate=RateLimit())


def _pipeline(group: Mapping[str, Any], stages: list[dict[str, Any]]) -> Pipeline:
    own: dict[str, list[str]] = {}
    for each in stages:
        if str(each.get("group")) == str(group["id"]):
            own.setdefault(str(each.get("title")), []).append(str(each["id"]))
    return Pipeline(str(group["id"]), str(group.get("title")), str(group.get("autoassign") or "0") != "0", own)
