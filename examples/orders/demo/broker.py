"""A real Kafka broker, from the jars that the tests use."""

import os
from pathlib import Path

from examples.common.process import console
from tests.servers import jars
from tests.servers.base import REQUIRED, NotReady, launch
from tests.servers.kafka import KafkaServer


def start_broker(folder: Path, *, is_optional: bool) -> KafkaServer:
    """One node on free ports. Ends the demo with what to install where it cannot run.

    `is_optional`: with status 0 then, but where servers are required.
    """
    folder.mkdir()
    broker = KafkaServer(folder)
    try:
        if not jars.folder(broker.name).is_dir():
            console.print("no Apache Kafka here yet: fetching it with Maven, once")
        jars.fetch(broker.name)
        launch(broker)
    except jars.Missing as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise SystemExit(not is_optional or bool(os.environ.get(REQUIRED))) from None
    except NotReady as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    return broker
