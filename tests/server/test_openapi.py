"""The API against its own document: schemathesis makes requests that fit it and requests that do not, and judges the answers."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from nearfar.search.index import Index
from nearfar.server.app import application
from nearfar.server.service import Service
from nearfar.training.load import load
from server import served

EXAMPLES = 10  # of each operation, and as many that do not fit
OPERATIONS = {
    "GET /api/search", "POST /api/search", "GET /api/like", "GET /api/row", "GET /api/explain", "GET /api/map", "GET /api/index",
    "GET /health", "GET /metrics", "POST /api/rows", "DELETE /api/rows",
}  # fmt: skip
# What a schema cannot say: such requests fit it, and are refused nevertheless.
MEANT = (
    "is no filter",
    "no record has a column",
    "the model knows no word of this text",
    "is given twice",
)


@pytest.fixture(scope="module")
def service(folder, tmp_path_factory):
    copy = served.copied(folder, tmp_path_factory.mktemp("api") / "copy")
    made = Service.of([("zoo", Index.open(copy / "index", write=True), load(copy / "model"))], writes=True)
    yield made
    made.close()


def operations(app):
    """{"GET /path": operation} of an application's own document."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    return {operation.label: operation for operation in (found.ok() for found in schema.get_all_operations())}


def examined(operation, mode):
    """Ask what is drawn, and let schemathesis judge; a failure is raised."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case):
        answer = case.call()
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])
        if mode is GenerationMode.POSITIVE and answer.status_code not in (200, 404):
            assert answer.status_code == 422
            assert any(told in answer.json()["what"] for told in MEANT), answer.json()

    check()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_answers_are_as_the_document_says(service, label, mode):
    operation = operations(application(service))[label]
    if mode is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or operation.body):
        return  # it takes nothing that could be wrong
    examined(operation, mode)


def test_there_are_no_other_operations(service):
    assert set(operations(application(service))) == OPERATIONS


def test_a_server_that_does_otherwise_is_noticed(service):
    app = application(service)

    async def wrong(scope, receive, send):
        """Says 200 and another thing than the document."""
        if scope["type"] != "http" or scope["path"] == "/openapi.json":
            return await app(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        return await send({"type": "http.response.body", "body": b'{"hits": 5}'})

    for mode in GenerationMode:
        with pytest.raises(BaseExceptionGroup):
            examined(operations(wrong)["GET /api/search"], mode)
