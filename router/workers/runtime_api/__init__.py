"""The Lambda Runtime API: how functions in any language but the fast path's get their events.

    Environment (runtime) ─ listener of its own ─ Connection ─ RequestReader (httptools)
              ▲                                        │
              └──────── Session (what follows what) ◄──┘

`states` is pure: which call may follow which, as Lambda has it. Each environment has a listener of
its own, and only processes of that environment are let in (`peers`).
Source of every path, header, status and text: `functions-and-invocation.md` 8.1.
"""
