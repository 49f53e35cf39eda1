"""Which event loops the tests of sources run on."""

import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """What reads sockets by itself runs on both; uvloop is production's."""
    found = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_http_client.py":
        found["uvloop"] = uvloop.new_event_loop
    return found
