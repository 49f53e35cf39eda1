"""Event Router: a self-hosted event router that speaks AWS Lambda.

Data flows one way:

    source → mapping → dispatcher → worker process → outcome → destination

1. `router.ingress` and `router.sources` take records in; `router.store` makes them durable.
2. `router.mapping` decides what is invoked, retried, split and given up. It is pure.
3. `router.dispatch` shares out concurrency.
4. `router.workers` runs handlers in isolated processes.
5. `router.outcomes` says what a reply means. It is pure.
6. `router.destinations` delivers what was given up.

`router.app` builds all of it; `router.control` and `router.template` say what exists.
"""

__version__ = "0.1.0"
