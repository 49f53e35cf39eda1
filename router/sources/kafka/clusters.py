"""Which servers a mapping reads, and as whom."""

from collections.abc import Collection, Mapping

from router.model.failure import KafkaOrigin
from router.model.mapping_spec import MappingSpec
from router.sources.kafka.access import Access, Secrets, access_of
from router.sources.kafka.problem import NOT_VALID, SourceProblem


class Clusters:
    """Self-managed clusters name their servers; those of MSK are named by settings."""

    def __init__(
        self,
        managed: Mapping[str, str],
        secrets: Secrets,
        sasl_without_tls: Collection[str] = (),
        look_s: float = 30.0,
    ) -> None:
        """`managed` is ARN or name of a cluster of MSK → `host:port;host:port`."""
        self.look_s = look_s
        """How often the partitions of a topic are looked up."""
        self._managed = managed
        self._secrets = secrets
        self._sasl_without_tls = sasl_without_tls

    def servers(self, spec: MappingSpec | KafkaOrigin) -> tuple[str, ...]:
        """Bootstrap servers. Raises `SourceProblem` for a cluster of MSK that nobody named."""
        if not spec.source_arn:
            return spec.bootstrap_servers
        name = spec.source_arn.rpartition(":")[2].split("/")[1]
        found = self._managed.get(spec.source_arn) or self._managed.get(name)
        if found is None:
            raise SourceProblem(
                NOT_VALID,
                f"nobody said where the cluster {name!r} is: "
                f"ROUTER_KAFKA_CLUSTERS={name}=host:port;host:port",
            )
        return tuple(server.strip() for server in found.split(";") if server.strip())

    def access(self, spec: MappingSpec | KafkaOrigin) -> Access:
        """How to reach it; secrets are read anew each time. Raises `SourceProblem`."""
        return access_of(
            self.servers(spec), spec.source_access, self._secrets, self._sasl_without_tls
        )
