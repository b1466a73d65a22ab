"""A browser without a window: asks the page, follows nothing, keeps cookies."""

import asyncio
import html
import re
from typing import Any

import httpx
from pydantic import SecretStr

from caspio_sync.cli.person import teller
from caspio_sync.cli.ui import pages_of
from caspio_sync.dashboard.access import Door
from caspio_sync.dashboard.app import Dashboard
from caspio_sync.settings import local_settings

TOKEN = "a-token-of-the-page-1234"
LOCAL = "http://127.0.0.1:8781"


class Visitor:
    """Somebody who looks at the page of the settings of this process."""

    def __init__(self, address: str | None = None) -> None:
        self.door = Door(SecretStr(TOKEN), address)
        self.base = address or LOCAL
        self.pages = pages_of(local_settings())
        self.app = Dashboard(self.pages, self.door, teller).app
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        async def talk() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=self.base, cookies=self.cookies) as client:
                return await client.request(method, path, headers=headers, **more)

        answer = asyncio.run(talk())
        self.cookies |= dict(answer.cookies)
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, headers)

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self.ask("POST", path, {"Origin": self.base}, data=fields)

    def enter(self, token: str = TOKEN, to: str = "/person") -> httpx.Response:
        return self.post("/enter", token=token, to=to)


def text_of(page: str) -> str:
    """What a person reads of it."""
    shown = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", shown)))


def figures(page: str, name: str) -> list[str]:
    """What stands in the elements that bear a figure of this name."""
    return [text_of(each).strip() for each in re.findall(rf'data-figure="{name}"[^>]*>(.*?)</(?:span|strong)>', page)]


def table(page: str, name: str) -> list[list[str]]:
    """The rows of a table by its id, without its head."""
    found = re.search(rf'<table id="{name}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    rows = re.findall(r"<tr.*?>(.*?)</tr>", found[1] if found else "", re.DOTALL)
    return [[text_of(cell).strip() for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]
