"""Real servers for whichever test asks for one; each is started once in a session."""

import pytest

from tests.servers.base import running
from tests.servers.elasticmq import ElasticMq


@pytest.fixture(scope="session")
def elasticmq(tmp_path_factory):
    with running(ElasticMq, tmp_path_factory.mktemp("elasticmq")) as server:
        yield server
