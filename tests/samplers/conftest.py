"""Shared by the tests of samplers."""

import pytest


@pytest.fixture
def server():
    """A server that plays vLLM, and its address."""
    from fake_vllm import Table, running

    with running(Table()) as (fake, url):
        yield fake, url
