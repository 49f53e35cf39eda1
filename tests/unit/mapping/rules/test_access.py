"""SourceAccessConfigurations (1.3)."""

import pytest

from router.mapping.rules.access import check_access
from router.model.source_kind import SourceKind
from tests.unit.mapping.rules.sources import SECRET

SCRAM = {"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}
PLAIN = {"Type": "BASIC_AUTH", "URI": SECRET}
CA = {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": SECRET}
SUBNET = {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"}
OAUTH = {"Type": "OAUTHBEARER_AUTH", "URI": SECRET}
SCOPE = {"Type": "OAUTHBEARER_SCOPE", "URI": "read"}
AUDIENCE = {"Type": "OAUTHBEARER_AUDIENCE", "URI": "kafka"}
WEB_IDENTITY = {"Type": "IAM_OAUTHBEARER_AUTH"}


@pytest.mark.parametrize(
    ("kind", "items", "texts"),
    [
        ("kafka", [PLAIN], []),
        ("kafka", [SCRAM, CA, SUBNET, {**SUBNET, "URI": "subnet:subnet-2"}], []),
        ("kafka", [SUBNET], []),
        ("kafka", [{"Type": "IAM_AUTH"}], []),
        ("kafka", [{"Type": "IAM_AUTH", "URI": SECRET}], ["IAM_AUTH takes no URI."]),
        ("kafka", [{"Type": "BASIC_AUTH"}], ["Required 'uRI' parameter is missing."]),
        ("kafka", [{"URI": SECRET}], ["Required 'type' parameter is missing."]),
        ("kafka", [{"Type": "VIRTUAL_HOST", "URI": "/"}], ["Invalid parameters: VIRTUAL_HOST"]),
        ("msk", [SCRAM], []),
        ("msk", [PLAIN], ["Invalid parameters: BASIC_AUTH"]),
        ("msk", [SUBNET], ["Invalid parameters: VPC_SUBNET"]),
        ("mq", [PLAIN, {"Type": "VIRTUAL_HOST", "URI": "/"}], []),
        ("mq", [SCRAM], ["Invalid parameters: SASL_SCRAM_512_AUTH"]),
        ("documentdb", [PLAIN], []),
        ("documentdb", [], []),
        ("kafka", [], ["Required 'sourceAccessConfigurations' parameter is missing."]),
        ("kafka", [OAUTH, SCOPE, AUDIENCE], []),
        ("kafka", [SCOPE], ["OAUTHBEARER_SCOPE needs OAUTHBEARER_AUTH."]),
        ("kafka", [AUDIENCE],
         ["OAUTHBEARER_AUDIENCE needs IAM_OAUTHBEARER_AUTH or OAUTHBEARER_AUTH."]),
        ("kafka", [WEB_IDENTITY, AUDIENCE], []),
        ("kafka", [WEB_IDENTITY], ["IAM_OAUTHBEARER_AUTH needs OAUTHBEARER_AUDIENCE."]),
        ("kafka", [WEB_IDENTITY, AUDIENCE, SCOPE],
         ["OAUTHBEARER_SCOPE needs OAUTHBEARER_AUTH.",
          "OAUTHBEARER_SCOPE does not go with IAM_OAUTHBEARER_AUTH."]),
        ("kafka", [PLAIN, SCRAM],
         [("SourceAccessConfigurations take one of BASIC_AUTH, SASL_SCRAM_512_AUTH, not "
           "several.")]),
    ],
)  # fmt: skip
def test_types_fit_the_source_and_each_other(kind, items, texts):
    settings = {"SourceAccessConfigurations": items}
    assert [it.message for it in check_access(SourceKind(kind), settings)] == texts
