"""One sandbox for all tests here, the strongest that this machine has."""

import pytest

from fulmen.errors import SandboxError
from fulmen.sandbox import Sandbox, open_sandbox


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """Returns the best sandbox; skips where there is none."""
    try:
        return open_sandbox()
    except SandboxError as error:
        pytest.skip(str(error))
