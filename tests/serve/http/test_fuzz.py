"""Whatever fits, or nearly fits, the OpenAPI schema is answered without a 5xx, and in the documented form."""

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode

from tests.serve.http.conftest import Running

ROUTES = ("POST /v1/chat/completions", "POST /v1/completions")


def check(url: str, route: str, mode: GenerationMode, num_examples: int) -> None:
    """Sends generated requests to a route; the model's name is ours in most of them, or none would get far."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    method, _, path = route.partition(" ")
    operation = schema[path][method]

    @hypothesis.settings(max_examples=num_examples)
    @hypothesis.given(
        case=operation.as_strategy(generation_mode=mode), keeps_model=hypothesis.strategies.integers(0, 9)
    )
    def run(case: Any, keeps_model: int) -> None:
        if isinstance(case.body, dict) and "model" in case.body and keeps_model:
            case.body["model"] = "scripted"
        response = case.call()
        case.validate_response(response, checks=[not_a_server_error])
        if response.status_code != 200:
            assert response.json()["error"]["message"]
            assert response.status_code in (400, 404, 405)

    run()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", ROUTES)
def test_no_server_errors(served: Running, route: str, mode: GenerationMode) -> None:
    check(served.url, route, mode, num_examples=12)
    assert served.worker.num_open == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", ROUTES)
def test_no_server_errors_in_many(served: Running, route: str, mode: GenerationMode) -> None:
    check(served.url, route, mode, num_examples=1000)
    assert served.worker.num_open == 0
