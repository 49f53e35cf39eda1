"""The pattern language of event filters and event buses, pure.

text ──► parse.py ──► rules of conditions ──► index.py ──► ids of the patterns that match
JSON ──► document.py ──► leaves (path → values) ──────────┘

Grammar and semantics: `docs/contracts/bus-http-and-schedules.md` 1.5 and
`docs/contracts/event-source-mappings.md` 10.4.
"""
