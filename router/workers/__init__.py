"""Runs handlers in processes of their own.

    Pool.invoke ─► Environment ══ frames over a socket pair ══► bootstrap ─► handler(event, context)
                       ▲
    Zygote (a clean interpreter) forks environments, reaps them and says how they ended

The router side is `pool`, `process`, `zygote_client`, `output`, `logs`, `environment`, `memory`.
What runs in the child (`zygote`, `fresh`, `bootstrap`, `context`, `child_output`, `events`,
`trace_variable`, `wire`) uses the standard library only and is loaded by path, so nothing of ours
shadows a package of the function.
"""
