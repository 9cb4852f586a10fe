"""The sandbox that these tests share; without isolation they are skipped, since replies here are hostile."""

import pytest

from fulmen.errors import SandboxError
from fulmen.sandbox import Sandbox, open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    try:
        return open_sandbox()
    except SandboxError as error:
        pytest.skip(str(error))
