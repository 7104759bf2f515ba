"""The document of the API and the page that shows it."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator
from yarl import URL

from tests.support.app_client import Api, Document, Serve
from tests.support.databases import DatabaseFixture

pytestmark = [pytest.mark.promise("Seeing"), pytest.mark.one_database]

PATHS = {
    "/login": {"get", "post"},
    "/.well-known/jwks.json": {"get"},
    "/logout": {"post"},
    "/apielec/changePassword": {"post"},
    "/apielec/getSessions": {"get"},
    "/apielec/endSession": {"post"},
    "/apielec/endOtherSessions": {"post"},
    "/apielec/ping": {"get"},
    "/apielec/getData": {"get", "post"},
    "/apielec/getDataById": {"get", "post"},
    "/apielec/getDataByDate": {"get", "post"},
    "/apielec/getDataByRange": {"get", "post"},
    "/apielec/getMeters": {"get", "post"},
    "/apielec/getMeter": {"get", "post"},
    "/apielec/getAggregate": {"get", "post"},
    "/apielec/getProfile": {"get", "post"},
    "/apielec/getPeaks": {"get", "post"},
    "/apielec/getSummary": {"get", "post"},
    "/apielec/getQuality": {"get", "post"},
}
ACCOUNT = {
    "/apielec/changePassword": {"403", "409"},
    "/apielec/getSessions": {"403"},
    "/apielec/endSession": {"403", "404"},
    "/apielec/endOtherSessions": {"403"},
}
"""The routes of a user's own account, and the errors that they alone have."""
REQUIRED = {
    "/apielec/changePassword": ["old_password", "new_password"],
    "/apielec/endSession": ["id"],
    "/apielec/getDataById": ["id"],
    "/apielec/getDataByDate": ["date"],
    "/apielec/getDataByRange": ["date", "end_date"],
    "/apielec/getAggregate": ["interval"],
}
METERS = "/apielec/getMeters"
PERIOD = ["date", "end_date", "end"]
WRITING = ["meter", "values", "time", "format"]
FIGURES = {
    "/apielec/getMeter": WRITING,
    "/apielec/getAggregate": [*PERIOD, "columns", "timezone", "quality", *WRITING],
    "/apielec/getProfile": ["column", "by", "percentiles", *PERIOD, "quality", *WRITING],
    "/apielec/getPeaks": ["number", "separation", *PERIOD, "quality", *WRITING],
    "/apielec/getSummary": [*PERIOD, "quality", *WRITING],
    "/apielec/getQuality": ["list", "flag", *PERIOD, *WRITING],
}
WRONG = {
    "/logout": {"id": "5"},
    "/apielec/changePassword": {"id": "5"},
    "/apielec/getSessions": {"id": "5"},
    "/apielec/endSession": {"id": "5"},
    "/apielec/endOtherSessions": {"id": "5"},
    "/apielec/ping": {"id": "5"},
    "/apielec/getMeters": {"limit": "0"},
    "/apielec/getData": {"limit": "0"},
    "/apielec/getDataById": {"id": "five"},
    "/apielec/getDataByDate": {"date": "11 September"},
    "/apielec/getDataByRange": {"date": "2019-09-12"},
    "/apielec/getMeter": {"time": "mine"},
    "/apielec/getAggregate": {"interval": "fortnight"},
    "/apielec/getProfile": {"percentiles": "0"},
    "/apielec/getPeaks": {"number": "0"},
    "/apielec/getSummary": {"quality": "dirty"},
    "/apielec/getQuality": {"list": "holes"},
}
OPTIONAL = ["meter", "columns", "values", "time", "format", "quality", "order", "limit", "after"]


@pytest.fixture
async def document(api: Api) -> Document:
    async with await api.client.get("/swagger.json") as response:
        assert response.status == 200
        document: Document = await response.json()
        return document


def operations(document: Document) -> list[tuple[str, str, Document]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def prefilled(parameter: Document) -> str | None:
    """What Swagger UI puts into the field of a parameter."""
    example: str | None = parameter.get("x-example", parameter.get("default"))
    return example


def references(part: Any) -> list[str]:
    """All that is referred to."""
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [found for value in part.values() for found in references(value)]
    return (
        [found for value in part for found in references(value)] if isinstance(part, list) else []
    )


async def test_document_is_swagger_2(document: Document) -> None:
    assert document["swagger"] == "2.0"
    assert document["info"]["title"]
    assert document["info"]["version"]
    for reference in references(document):
        section, name = reference.removeprefix("#/").split("/")
        assert name in document[section]
    for path, method, operation in operations(document):
        assert re.findall(r"{(\w+)}", path) == []
        names = [(p["name"], p["in"]) for p in operation["parameters"]]
        assert len(set(names)) == len(names)
        assert operation["responses"]
        for parameter in operation["parameters"]:
            assert parameter["in"] == ("query" if method == "get" else "formData")
            assert parameter["type"] == ("integer" if "maximum" in parameter else "string")
        for scheme in operation["security"]:
            assert scheme.keys() <= document["securityDefinitions"].keys()


async def test_document_is_valid_by_its_specification(document: Document) -> None:
    assert list(OpenAPIV2SpecValidator(document).iter_errors()) == []


async def test_document_describes_every_route_and_no_other(document: Document) -> None:
    described = {path: set(methods) for path, methods in document["paths"].items()}
    assert described == PATHS
    tags = [tag["name"] for tag in document["tags"]]
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= set(tags)


async def test_document_describes_every_parameter(document: Document) -> None:
    for path, method, operation in operations(document):
        parameters = operation["parameters"]
        names = {must: [p["name"] for p in parameters if p["required"] == must] for must in (0, 1)}
        others = FIGURES | {METERS: ["limit", "after", "search"]}
        optional = OPTIONAL if path.startswith("/apielec/getData") else others.get(path, [])
        assert names[1] == REQUIRED.get(path, []), (path, method)
        own = ["end"] if path == "/apielec/getDataByRange" else []
        assert names[0] == own + optional, (path, method)
        assert all(p["description"] for p in parameters)
        for parameter in parameters:
            assert parameter.get("default") in parameter.get("enum", [parameter.get("default")])


async def test_document_describes_every_answer(document: Document) -> None:
    for path, _, operation in operations(document):
        codes = set(operation["responses"])
        assert codes >= {"414", "429", "431"}
        assert ("503" in codes) == (path != "/.well-known/jwks.json")
        codes -= {"408", "413", "414", "429", "431", "503"}
        if path == "/login":
            assert codes == {"200", "401"}
        elif path == "/.well-known/jwks.json":
            assert codes == {"200", "400", "404"}
        elif path in ("/logout", "/apielec/ping", METERS, *ACCOUNT):
            own = {"403"} if path == "/logout" else ACCOUNT.get(path, set())
            assert codes == {"200", "400", "405", "406"} | own
        else:
            pages = {"410"} if path.startswith("/apielec/getData") else set()
            assert codes == {"200", "304", "400", "404", "405", "406"} | pages
        for code, response in operation["responses"].items():
            assert response["description"]
            if code != "304":
                example = response["examples"]["application/json"]
                assert code == "200" or example["statusCode"] == code


async def test_document_requires_the_token_where_the_server_does(document: Document) -> None:
    schemes = document["securityDefinitions"]
    assert schemes["SESSION"] == {"type": "apiKey", "in": "header", "name": "SESSION"}
    for path, _, operation in operations(document):
        by_path: dict[str, list[Document]] = {
            "/login": [{"basic": []}],
            "/.well-known/jwks.json": [],
        }
        assert operation["security"] == by_path.get(path, [{"SESSION": []}])


async def test_examples_of_the_document_work(api: Api, document: Document) -> None:
    for path, method, operation in operations(document):
        params = {p["name"]: example for p in operation["parameters"] if (example := prefilled(p))}
        if path.startswith("/apielec/") and path not in ACCOUNT:
            carrier = {"params": params} if method == "get" else {"data": params}
            status, body = await api.get(
                path.removeprefix("/apielec/"), method=method.upper(), **carrier
            )
            assert status == 200
            assert (body["values"]["numrecs"] > 0) == (path != "/apielec/ping")


@pytest.mark.parametrize("path", WRONG)
async def test_example_of_a_bad_request_is_the_answer_to_one(
    api: Api, document: Document, path: str
) -> None:
    for method, operation in document["paths"][path].items():
        headers = {"SESSION": api.token}
        async with await api.client.request(
            method, path, params=WRONG[path], headers=headers
        ) as response:
            assert response.status == 400
            example = operation["responses"]["400"]["examples"]["application/json"]
            assert await response.json() == example


async def test_answers_have_the_fields_that_the_document_says(api: Api, document: Document) -> None:
    definitions = document["definitions"]

    def check(found: Document, reference: str) -> Document:
        schema: Document = definitions[reference.removeprefix("#/definitions/")]
        assert set(schema.get("required", ())) <= found.keys() <= schema["properties"].keys()
        properties: Document = schema["properties"]
        return properties

    for path, method, operation in operations(document):
        if method == "get" and path.startswith("/apielec/"):
            params = {p["name"]: part for p in operation["parameters"] if (part := prefilled(p))}
            status, body = await api.get(path.removeprefix("/apielec/"), params)
            assert status == 200
            answer = check(body, operation["responses"]["200"]["schema"]["$ref"])
            values = check(body["values"], answer["values"]["$ref"])
            for record in body["values"]["records"]:
                check(record, values["records"]["items"]["$ref"])


async def test_document_names_the_media_type_of_every_format(api: Api, document: Document) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/apielec/get") or path in (METERS, *ACCOUNT):
            continue
        params = {p["name"]: example for p in operation["parameters"] if (example := prefilled(p))}
        (formats,) = [p["enum"] for p in operation["parameters"] if p["name"] == "format"]
        sent = []
        for name in formats:
            carrier = {"params" if method == "get" else "data": params | {"format": name}}
            route = path.removeprefix("/apielec/")
            async with await api.request(route, method=method.upper(), **carrier) as response:
                assert response.status == 200
                sent.append(response.content_type)
        assert sent == operation["produces"]


async def test_example_of_a_record_is_a_record(api: Api, document: Document) -> None:
    (record,) = await api.records("getDataById", id="5")
    answer = document["paths"]["/apielec/getDataById"]["get"]["responses"]["200"]
    (example,) = answer["examples"]["application/json"]["values"]["records"]
    assert example == record
    assert document["definitions"]["Record"]["properties"].keys() == record.keys() | {"flags"}


async def test_example_of_a_meter_is_the_answer(api: Api, document: Document) -> None:
    _, body = await api.get(METERS.removeprefix("/apielec/"), {"search": "main"})
    success = document["paths"][METERS]["get"]["responses"]["200"]
    assert body == success["examples"]["application/json"]


@pytest.mark.parametrize("path", FIGURES)
async def test_example_of_a_figure_is_the_first_record_of_its_answer(
    api: Api, document: Document, path: str
) -> None:
    operation = document["paths"][path]["get"]
    params = {p["name"]: example for p in operation["parameters"] if (example := prefilled(p))}
    (example,) = operation["responses"]["200"]["examples"]["application/json"]["values"]["records"]
    record, *_ = await api.records(path.removeprefix("/apielec/"), **params)
    if "import_finished" in record:
        record["import_finished"] = example["import_finished"]
    assert record == example
    described = document["definitions"][f"{path.removeprefix('/apielec/')}Record"]
    assert set(described["required"]) <= record.keys() <= described["properties"].keys()


# The page


async def test_page_and_its_files_load_nothing_from_elsewhere(api: Api) -> None:
    async with await api.client.get("/") as response:
        page = await response.text()
        assert response.content_type == "text/html"
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 4
    for path in ("/", *links):
        assert not URL(path).absolute
        async with await api.client.get(path) as response:
            assert response.status == 200
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "frame-ancestors 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["index.html", "VERSION", "..%2F..%2Fapp.py", "%2Fetc%2Fpasswd"])
async def test_other_files_are_not_served(api: Api, name: str) -> None:
    url = api.client.make_url("/").joinpath("static/swagger/" + name, encoded=True)
    async with api.client.session.get(url) as response:
        assert response.status == 404


async def test_page_needs_neither_a_token_nor_a_database(
    serve: Serve, database: DatabaseFixture
) -> None:
    api = await serve(database)
    for path in ("/", "/swagger.json"):
        async with await api.client.get(path) as response:
            assert response.status == 200
