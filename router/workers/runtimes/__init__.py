"""Which program runs a function, for every runtime Lambda has a name for.

- `choose`: from a function and this host to the `Program` that speaks the Runtime API, if one is
  needed: plain Python functions are forked instead (`workers.zygote`).
- `host`: programs on PATH, their versions, and which folders of the host they need.
- `java`, `node`: what the runtimes of these languages are started with. `node/` is the runtime of
  Node.js itself: on AWS it brings its client, so functions do not.
"""
