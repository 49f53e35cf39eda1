"""The image without a container engine: built by the Dockerfile's own steps, started read-only.

    python -m deploy.rootfs build FOLDER
    python -m deploy.rootfs start FOLDER --data DATA --etc ETC [--env A=B] [-- WORD …]
    python -m deploy.rootfs exec FOLDER PID -- WORD …

`build` makes FOLDER/rootfs and FOLDER/config.json. `start` runs the router in it as an engine would
run a container: a user of its own, no capability, read-only, `/tmp` in memory.
Needs user namespaces, not root. Linux only.
"""
