"""Extensions: programs that live beside a runtime in its environment (AWS's Extensions API).

    supervisor (first process of the environment) ─ frames ─ ExtendedEnvironment
       ├─ runtime ──────────┐                                      │
       └─ extension … ──────┴─ the environment's listener ─ Extensions ─ Registry (pure)

`states` is pure: which call may follow which, as Lambda has it. An environment without anything in
`/opt/extensions` has no supervisor; its runtime may still register internal extensions.
Source of every path, header, status and text: `functions-and-invocation.md` 8.3 and 8.5.
"""
