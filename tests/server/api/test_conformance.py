"""Requests that schemathesis makes of the document: every answer is one that it describes."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
import schemathesis.engine
from schemathesis import AuthContext, Case, CheckContext, GenerationMode, Response
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from tests.server.process.test_server_command import Server
from tests.support.app_client import token
from tests.support.databases import DatabaseFixture
from tests.support.promises import Tried

pytestmark = pytest.mark.promise("Bad input")

CHECKS = {
    # The contract has a 405 where there is no token.
    "missing_required_header": {"expected-statuses": [401, 405]},
    "ignored_auth": {"enabled": False},
    # Our own below knows what no schema can say.
    "positive_data_acceptance": {"enabled": False},
}
FORM_LEFT_OUT = "Invalid component: Missing request body"
"""A form all of whose fields are optional may be left out, as Swagger 2.0 has no body for it."""

VIOLATION = re.compile("violates .*")
TEXT_IN_FORM = re.compile("violates `type` at .* [(]was string, became (integer|number)[)]")
"""A number where a text is expected, which are the same in a form."""

BEYOND_PATTERNS = re.compile(
    "(end_)?date: expected (a time|1 to 64 characters|a UTC offset)"
    "|end_date: expected .* or later"
    "|columns: expected each of .* at most once"
    "|percentiles: .* at most 20"
    "|timezone: expected a name"
    "|after: expected what"
    "|flag: expected list=flagged"
    "|(interval|list): expected at most .* records"
    "|(end_)?date: expected a period of at most"
)
"""That days exist, that an end comes after its begin, that a zone is known, and the like."""

BEYOND_PATTERNS_OF_V1 = re.compile(
    "(from|to): expected a (time|period of at most)"
    "|to: expected .* or later"
    "|fields: expected each at most once"
    "|resolution: expected (one of|a multiple|at most|no less)"
    "|percentiles: .* at most 20"
    "|timezone: expected a name"
    "|cursor: expected (that of links.next|none with sort or warning)"
    "|flag: expected list=flagged"
    "|list: expected at most .* records"
    "|(dialect|summary): expected format="
    "|search: expected 1 to 100"
    "|meter: expected this or group"
)
"""That days exist, that an end comes after its begin, that a format has a dialect, and the like."""

NOT_ALWAYS_ACCEPTED = (
    *("/login", "/.well-known/jwks.json", "/apielec/changePassword", "/apielec/endSession"),
)
"""What these answer depends on the user, the keys and the sessions."""


def document(url: str) -> dict[str, Any]:
    """The document, taken at its word: objects have no other members than it tells of."""
    told: dict[str, Any] = requests.get(f"{url}/swagger.json", timeout=30).json()
    for name, definition in told["definitions"].items():
        definition["additionalProperties"] = False
        if name == "getProfileRecord":  # percentiles of the client's choice
            definition["patternProperties"] = {"^p[0-9]+$": {"type": ["string", "number", "null"]}}
        for described in definition["properties"].values():
            if "pattern" in described:
                described["type"] = ["string", "number"]
    for methods in told["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "meter":  # of which there is one
                    parameter["enum"] = ["main"]
    return told


@schemathesis.check
def right_is_accepted(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """What meets the document is answered, or refused for what no pattern can say."""
    is_right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_right and case.operation.path not in NOT_ALWAYS_ACCEPTED:
        if case.operation.path.startswith("/v1/"):
            assert is_right_answer_of_v1(case, response)
        elif response.status_code == 400:
            assert BEYOND_PATTERNS.match(response.json()["message"])
        else:
            assert response.status_code == 200


def is_right_answer_of_v1(case: Case[Any], response: Response) -> bool:
    """Whether a request that meets the document has an answer, or a refusal that it may have."""
    if response.status_code == 400:
        return bool(BEYOND_PATTERNS_OF_V1.match(response.json()["detail"]))
    is_of_number = case.operation.path.endswith("/{number}")
    return response.status_code == 200 or (response.status_code == 404 and is_of_number)


@schemathesis.auth(refresh_interval=None)
class OwnToken:
    """A token of its own for each request that is to have one: some of them log out."""

    def get(self, _: Case[Any], __: AuthContext) -> str:
        return token()

    def set(self, case: Case[Any], data: str, _: AuthContext) -> None:
        if case.operation.path.startswith("/v1/"):
            case.headers["Authorization"] = f"Bearer {data}"
        elif case.operation.path != "/login":
            case.headers["SESSION"] = data


def is_right_in_form(request: str, failure: str) -> bool:
    """Whether a request that was accepted is right after all, since its body is a form."""
    violations = VIOLATION.findall(failure)
    if "x-www-form-urlencoded" in request and violations:
        return all(map(TEXT_IN_FORM.fullmatch, violations))
    return FORM_LEFT_OUT in failure


def tried_out(url: str, told_by: dict[str, Any], examples: int, *, coverage: bool) -> Counter[int]:
    """The statuses of the answers to so many requests by chance of each operation, and more.

    With `coverage`, requests at all bounds that the document has are among them. Fails where an
    answer is not as the document says.
    """
    config = schemathesis.Config.from_dict(
        {
            "base-url": url,
            "seed": 1,
            "continue-on-failure": True,
            "checks": CHECKS,
            "generation": {"max-examples": examples},
            "phases": {"coverage": {"enabled": coverage}, "stateful": {"enabled": False}},
        }
    )
    schema = schemathesis.openapi.from_dict(told_by, config=config)
    statuses: Counter[int] = Counter()
    told = []
    for event in schemathesis.engine.from_schema(schema).execute():
        if isinstance(event, NonFatalError | FatalError):
            told.append(str(event))
        elif isinstance(event, ScenarioFinished):
            recorder = event.recorder
            for interaction in recorder.interactions.values():
                assert interaction.response is not None
                statuses[interaction.response.status_code] += 1
            told += [
                f"{failed.code_sample}\n{failed.failure}"
                for checks in recorder.checks.values()
                for check in checks
                if (failed := check.failure_info) is not None
                and not is_right_in_form(failed.code_sample, str(failed.failure))
            ]
    assert not told, f"{len(told)}:" + "\n\n".join(told[:5])
    return statuses


@pytest.fixture
def url(sample: DatabaseFixture) -> Iterator[str]:
    """Where a server of the sample listens, which has nothing to complain of until it leaves."""
    # A changed password would be one for all other tests of the sample.
    with Server(sample.config, ELECDATA_AUTH__OWN_PASSWORD="false") as server:
        yield f"http://127.0.0.1:{server.port()}"
        assert server.stop() == 0
        assert not [line for line in server.lines if "unexpected" in line or "mid-response" in line]


@pytest.mark.one_database
def test_answers_are_as_the_document_says(url: str) -> None:
    """A few requests of each operation, the same ones each time."""
    statuses = tried_out(url, document(url), 5, coverage=False)
    assert statuses.keys() == {200, 400, 401, 403, 404, 405}
    assert min(statuses[often] for often in (200, 400, 401, 405)) >= 10


@pytest.mark.trust
def test_all_answers_are_as_the_document_says(
    url: str, tried: Tried, sample: DatabaseFixture
) -> None:
    """Requests at all bounds that the document has, and many others by chance."""
    statuses = tried_out(url, document(url), 40, coverage=True)
    tried(f"requests made of the document, {sample.kind}", statuses.total())
