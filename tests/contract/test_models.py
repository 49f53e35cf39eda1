"""The overlay brings the installed model up to the one the clients have."""

from pathlib import Path

import pytest

from router.control import compact, model
from router.control.lambda_service.aliases import Aliases
from router.control.lambda_service.fixed import FunctionExtras
from router.control.lambda_service.functions import Functions
from router.control.lambda_service.invoke import Invocations
from router.control.lambda_service.listing import Listing
from router.control.lambda_service.mappings import Mappings
from router.control.lambda_service.policies import Policies
from router.control.sqs.messages import Messages
from router.control.sqs.moves import Moves
from router.control.sqs.queues import Queues
from router.control.sts_service import StsService
from tests.contract.support import CLIENTS, ClientError

SERVED = {
    "lambda": (Functions, Listing, Aliases, Policies, FunctionExtras, Invocations, Mappings),
    "sqs": (Messages, Queues, Moves),
    "sts": (StsService,),
}


def clients_model(service):
    (data,) = CLIENTS.glob("lib/python3.*/site-packages/botocore/data")
    return compact.compact(compact.read_model(Path(data), service), {})


def reach(document, operation):
    """All shapes an operation's input and output lead to; of what may be chosen, not the order.

    AWS's own words have another order than its model: the overlay has the recorded one.
    """
    found, todo = {}, [operation["input"], operation["output"]]
    while todo:
        name = todo.pop()
        if name is None or name in found:
            continue
        shape = document["shapes"][name]
        found[name] = {**shape, **({"enum": sorted(shape["enum"])} if "enum" in shape else {})}
        todo += [member["shape"] for member in shape.get("members", {}).values()]
        todo += [shape[key]["shape"] for key in ("member", "key", "value") if key in shape]
    return found


@pytest.mark.parametrize("service", SERVED)
async def test_operations_we_serve_are_the_clients_own(service, tmp_path):
    data, _version = model.source()
    compact.write(data, model.OVERLAYS, tmp_path, service)
    mine = __import__("json").loads((tmp_path / f"{service}.json").read_bytes())
    theirs = clients_model(service)
    assert set(mine["operations"]) >= set(theirs["operations"]) or service == "sts"
    served = [
        name
        for name in theirs["operations"]
        if any(hasattr(part, model.method_name(name)) for part in SERVED[service])
    ]
    assert served
    for name in served:
        assert mine["operations"][name] == theirs["operations"][name]
        assert reach(mine, mine["operations"][name]) == reach(theirs, theirs["operations"][name])


def test_clients_of_services_that_are_not_here_can_read_so(aws):
    """CloudFormation speaks XML: an answer that is none would end its clients with a traceback."""
    with pytest.raises(ClientError) as info:
        aws("cloudformation", "describe_stack_resources", StackName="shop")
    assert (info.value.status, info.value.code) == (404, "UnknownOperationException")
    assert info.value.message == "The action 'DescribeStackResources' is not served."
