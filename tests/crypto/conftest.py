from __future__ import annotations

import pytest

from ghost.crypto.backend import Backend, choose


@pytest.fixture(scope="session", params=["cryptography", "pycryptodome"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return choose(request.param)
