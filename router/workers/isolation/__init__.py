"""The isolation ladder: what a function's process can still see and do (`reliability.md` 9).

    rung 0  nothing but closed file descriptors
    rung 1  plain.py     session, limits, no capabilities, no_new_privs, dies with the zygote
    rung 2  landlock.py  files, TCP ports, signals      seccomp.py  system calls
    rung 3  uid.py       an own user for each function
    beside  mounts.py    a private file view (rung 2 and up)    cgroup.py  memory and processes

`plan.py` and `groups.py` run in the router; everything else runs in the zygote and its children,
uses the standard library alone and is loaded by path, so it imports its neighbours relatively and
nothing of the router. Importing this package imports nothing.
"""
