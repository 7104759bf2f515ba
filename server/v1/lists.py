"""Lists that are answered at once, page by page, and of which meters they are.

Their ETag is made of the body.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from yarl import URL

from domain.parameters import Integer, Parameter, Params
from domain.readings_query import QueryError
from server.transport.content_coding import Coding, Identity
from server.transport.etags import etag, matches_any, matches_etag
from server.transport.negotiation import negotiate_coding
from server.transport.streaming import Payload, content_type
from server.v1.parameters import CURSOR
from server.v1.request import V1Request, common_of, own_link
from storage.common.turns import in_thread
from storage.database import Database, DataState
from storage.figures.compute import Admit
from storage.figures.result import ResultTable

_DURATION = re.compile(
    r"P(?:(?P<weeks>[0-9]{1,4})W"
    r"|(?=[0-9T])(?:(?P<days>[0-9]{1,5})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,5})H)?(?:(?P<minutes>[0-9]{1,6})M)?)?)"
)
_SECONDS = {"weeks": 7 * 86400, "days": 86400, "hours": 3600, "minutes": 60}

STALE = Parameter(
    "stale",
    "Only meters whose newest reading began longer ago than this, and those without readings: a"
    " duration as ISO 8601 has it, such as P2D or PT36H, or a number of days.",
    pattern=(
        "^(P[0-9]{1,4}W|P[0-9]{1,5}D(T[0-9]{1,5}H)?|PT[0-9]{1,5}H([0-9]{1,6}M)?|PT[0-9]{1,6}M"
        "|[0-9]{1,5})$"
    ),
)

OFFSET = Integer(
    "offset",
    "Number of records to skip, to begin somewhere in the list. With 0, and without stale,"
    " meta.total has the number of all; with sort or warning it always has.",
    minimum=0,
    maximum=10_000_000,
    default=None,
)


def parse_stale(params: Params) -> int | None:
    """Return the age in seconds that the parameter names, if any; raise QueryError."""
    text = params.get(STALE.name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= len("99999"):
        return int(text) * _SECONDS["days"]
    match = _DURATION.fullmatch(text)
    found = {} if match is None else match.groupdict()
    if not any(found.values()):
        raise QueryError(
            STALE.name,
            f"expected a duration like P2D or PT36H, or a number of days, got {text[:40]!a}",
        )
    return sum(_SECONDS[unit] * int(number) for unit, number in found.items() if number)


@dataclass(frozen=True, kw_only=True)
class V1ListRequest(V1Request):
    """A request for a list, which is known already, and the cursor of the next page of it."""

    table: ResultTable
    following: str | None
    meta: Mapping[str, int]
    """What is said beside the number of records."""
    next_by: str = CURSOR.name
    """The parameter that says where the next page begins."""

    async def payload(
        self,
        database: Database,  # noqa: ARG002 - nothing is left to ask for
        state: DataState,  # noqa: ARG002 - nothing is left to ask for
        admit: Admit,  # noqa: ARG002 - nothing is left to ask for
    ) -> Payload:
        """Return the payload of the list."""
        return self.written()

    def written(self) -> Payload:
        """Return the payload of the list."""
        document = self.document({"count": self.table.count, **self.meta}, self.following)
        chunks = self.format.table(self.table, document, self.options)
        return self.payload_of(chunks, self.table.count, self.following, {})

    def _next(self, cursor: str) -> URL:
        link = self.link.without_query_params(OFFSET.name)
        return link.update_query({self.next_by: cursor})


async def answer_list(
    request: web.Request,
    params: Params,
    table: ResultTable,
    following: str | None,
    name: str,
    meta: Mapping[str, int] | None = None,
    next_by: str = CURSOR.name,
) -> web.Response:
    """Return a page of a list, after which another begins with the parameter `next_by`."""
    common = common_of(request, {n: v for n, v in params.items() if n != CURSOR.name})
    common |= {"link": own_link(request, params), "name": name}
    made = V1ListRequest(
        **common, table=table, following=following, meta=meta or {}, next_by=next_by
    )
    payload = made.written()
    body = b"".join([bytes_of(chunk) async for chunk in payload.chunks])
    return await _conditional(request, body, made, payload)


async def _conditional(
    request: web.Request, body: bytes, made: V1Request, payload: Payload
) -> web.Response:
    """Return a response whose ETag is made of its body."""
    key = hashlib.sha256(body).hexdigest()[:32]
    coding = negotiate_coding(request)
    vary = hdrs.ACCEPT_ENCODING
    headers: dict[str, str] = {
        hdrs.ETAG: etag(key, coding),
        hdrs.CACHE_CONTROL: "private, no-cache",
        hdrs.VARY: f"{vary}, {hdrs.ACCEPT}" if made.varies_by_accept else vary,
    }
    if matches_etag(request, key) or matches_any(request):
        return web.Response(status=304, headers=headers)
    if not isinstance(coding, Identity):
        body = await in_thread(_encoded, body, coding)
        headers[hdrs.CONTENT_ENCODING] = coding.name
    headers[hdrs.CONTENT_TYPE] = content_type(made.media_type)
    return web.Response(body=body, headers={**headers, **made.headers(payload.metadata)})


def bytes_of(chunk: Any) -> bytes:
    """Return a plain chunk."""
    assert isinstance(chunk, bytes)
    return chunk


def _encoded(body: bytes, coding: Coding) -> bytes:
    return coding.add(body) + coding.end()
