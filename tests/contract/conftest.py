"""One control plane and one boto3 process for all contract tests."""

import json
import subprocess

import pytest

from tests.contract.sqs_sides import Side
from tests.contract.support import CLIENTS, Agent, Harness, client_environment


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    harness = Harness(tmp_path_factory.mktemp("data"))
    harness.run(harness.start())
    yield harness
    harness.run(harness.stop())
    harness.loop.call_soon_threadsafe(harness.loop.stop)
    harness.thread.join()
    harness.loop.close()


@pytest.fixture(scope="session")
def aws(harness):
    agent = Agent(harness.url())
    yield agent
    agent.close()


@pytest.fixture
def cli(harness):
    def run(*words, status=0):
        done = subprocess.run(
            [str(CLIENTS / "bin/aws"), "--endpoint-url", harness.url(), *words],
            check=False,
            capture_output=True,
            text=True,
            env=client_environment(harness.url(), "any", "any"),
        )
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    return run


@pytest.fixture(scope="session")
def router_side(harness, aws):
    return Side("router", aws, harness.url())


@pytest.fixture(scope="session")
def elasticmq_side(elasticmq):
    agent = Agent(elasticmq.url)
    yield Side("elasticmq", agent, elasticmq.url)
    agent.close()


@pytest.fixture(params=["router", "elasticmq"])
def side(request):
    """SQS on the router, then on ElasticMQ."""
    return request.getfixturevalue(f"{request.param}_side")
