"""Real servers for whichever test asks for one; each is started once in a session.

And hypothesis tries the same examples in every run: a failure is of the change that shows it.
`--hypothesis-profile=explore` (`make sim-nightly`) tries others each time; what it finds becomes a
test of its own. How long one takes tells of the machine, and fails nothing.
"""

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.servers.base import running
from tests.servers.chromium import Chromium
from tests.servers.elasticmq import ElasticMq
from tests.servers.kafka import KafkaServer, SecureKafka, cluster
from tests.servers.moto import Moto
from tests.servers.prometheus import Prometheus

ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", ANY_TIME, derandomize=True)
settings.register_profile("explore", ANY_TIME, derandomize=False)
settings.load_profile("same")

# As a router has it in a terminal. With the values of local variables, which is what the library
# does unasked, a line about an error takes seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

SERVERS = ("chromium", "kafka_cluster", "secure_kafka", "kafka", "elasticmq", "moto", "prometheus")


def pytest_collection_modifyitems(items):
    """Tests of a server run in one process (`--dist loadgroup`), so that it is started once.

    A module that has many such tests may be a group of its own.
    """
    for item in items:
        needed = [name for name in SERVERS if name in getattr(item, "fixturenames", ())]
        if needed and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(needed[0]))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    with running(Chromium, tmp_path_factory.mktemp("chromium")) as server:
        yield server


@pytest.fixture(scope="session")
def elasticmq(tmp_path_factory):
    with running(ElasticMq, tmp_path_factory.mktemp("elasticmq")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    with running(KafkaServer, tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory):
    """Three nodes; who ends one starts it again."""
    with cluster(tmp_path_factory.mktemp("kafka-cluster")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory):
    with running(SecureKafka, tmp_path_factory.mktemp("secure-kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    with running(Moto, tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory):
    """Without rules; `scrape` tells it whom to ask, twice a second."""
    with running(Prometheus, tmp_path_factory.mktemp("prometheus")) as server:
        yield server
