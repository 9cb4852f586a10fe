"""Whatever fits, or nearly fits, the OpenAPI schema is answered without a 5xx, and in the documented form."""

import random
from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode

from tests.serve.http.conftest import Running

ROUTES = ("POST /v1/chat/completions", "POST /v1/completions")


VALID: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "json"}], "prompt": "json"}


def check(url: str, route: str, mode: GenerationMode, num_examples: int) -> Counter[int]:
    """Sends generated requests to a route; returns how many got which status.

    Half of them are right but for a few generated fields: all fields at once hardly ever go together.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    method, _, path = route.partition(" ")
    operation = schema[path][method]
    statuses: Counter[int] = Counter()

    @hypothesis.settings(max_examples=num_examples)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), choice=hypothesis.strategies.integers(0, 2**32))
    def run(case: Any, choice: int) -> None:
        if isinstance(case.body, dict) and choice % 2:
            names = sorted(case.body)
            kept = random.Random(choice).sample(names, min(len(names), 1 + choice // 2 % 4))
            base = {name: VALID[name] for name in ("model", "messages" if "chat" in route else "prompt")}
            case.body = base | {name: case.body[name] for name in kept if name != "model"}
        response = case.call()
        case.validate_response(response, checks=[not_a_server_error])
        statuses[response.status_code] += 1
        if response.status_code != 200:
            assert response.json()["error"]["message"]

    run()
    assert statuses.keys() <= {200, 400, 404, 405}
    return statuses


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", ROUTES)
def test_no_server_errors(served: Running, route: str, mode: GenerationMode) -> None:
    check(served.url, route, mode, num_examples=12)
    assert served.worker.num_open == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("route", ROUTES)
def test_no_server_errors_in_many(served: Running, route: str, mode: GenerationMode) -> None:
    statuses = check(served.url, route, mode, num_examples=1000)
    assert served.worker.num_open == 0
    assert statuses[200] >= 20
    assert statuses[400] >= 20
