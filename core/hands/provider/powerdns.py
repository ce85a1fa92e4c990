"""The HTTP API of PowerDNS. I/O.

The API replaces an RRset without prerequisites: between our reading and our writing somebody else's change could be lost. The gap is kept
short, what was written is read again, and who needs more uses RFC 2136, which PowerDNS speaks as well.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import aiohttp

from core.hands.asking import Unreachable
from core.hands.hand import HandError
from core.hands.provider.plan import TYPES, Plan, Records, Standing, mark_name
from core.hands.provider.rfc2136 import MARK_TTL


class PowerDns:
    """One zone of the server that the API calls ``localhost``, which is its name for itself."""

    def __init__(self, zone: str, url: str, api_key: str, timeout: float) -> None:
        self._zone = f"{url}/api/v1/servers/localhost/zones/{quote(zone, safe='')}"
        self._api_key = api_key
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def read(self, domain: str) -> Standing:
        """What it holds. Raises HandError: an error or silence is never read as nothing."""
        records: dict[str, Records] = {}
        for rrset in await self._rrsets(domain):
            if rrset["type"] in TYPES:
                if any(record["disabled"] for record in rrset["records"]):
                    raise HandError(f"{domain} {rrset['type']} holds disabled records, which an update would lose")
                values = frozenset(record["content"] for record in rrset["records"])
                records[rrset["type"]] = Records(rrset["ttl"], values)
        marks = [rrset for rrset in await self._rrsets(mark_name(domain)) if rrset["type"] == "TXT"]
        return Standing(records, frozenset(record["content"] for rrset in marks for record in rrset["records"]))

    async def apply(self, plan: Plan) -> None:
        """Raises HandError where it is refused, or where it is not there afterwards."""
        changes = [_rrset(plan.domain, rtype, records) for rtype, records in plan.after.items()]
        changes.sort(key=lambda change: change["changetype"])  # what goes makes room for a CNAME
        if plan.marks is not None:
            changes.append(_rrset(mark_name(plan.domain), "TXT", Records(MARK_TTL, plan.marks)))
        await self._call("PATCH", "", {"rrsets": changes})
        after = (await self.read(plan.domain)).records
        if any(after.get(rtype) != records for rtype, records in plan.after.items()):
            raise HandError(f"{plan.domain} is not as it was written: somebody else changes it too")
        await self._call(
            "PUT", "/notify", None, well=(200, 400, 422)
        )  # a zone without secondaries has nobody to notify

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def _rrsets(self, name: str) -> list[dict[str, Any]]:
        """Those of one name; a server that does not know the filter answers the whole zone."""
        zone = await self._call("GET", f"?rrset_name={quote(name, safe='')}", None)
        try:
            return [rrset for rrset in zone["rrsets"] if rrset["name"].lower() == name]
        except (KeyError, TypeError, AttributeError):
            raise HandError("the API's answer cannot be read") from None

    async def _call(self, method: str, path: str, body: object, well: tuple[int, ...] = (200, 204)) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers={"X-API-Key": self._api_key})
        try:
            async with self._session.request(method, self._zone + path, json=body, allow_redirects=False) as answer:
                if answer.status not in well:
                    said = (await answer.content.read(300)).decode(errors="replace")
                    raise HandError(f"the API answered HTTP {answer.status} to {method}: {said}".rstrip(": "))
                return await answer.json() if answer.status == 200 else None
        except TimeoutError:
            raise Unreachable(f"the API has not answered {method}") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise HandError(f"the API: {error or type(error).__name__}") from error


def _rrset(name: str, rtype: str, records: Records | None) -> dict[str, Any]:
    if records is None:
        return {"name": name, "type": rtype, "changetype": "DELETE"}
    contents = [{"content": value, "disabled": False} for value in sorted(records.values)]
    return {"name": name, "type": rtype, "ttl": records.ttl, "changetype": "REPLACE", "records": contents}
