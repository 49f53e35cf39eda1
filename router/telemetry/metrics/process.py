"""The router itself

Beside these, `process_…` as every client of Prometheus exports them: processor time, memory, open
files and the time of the start, of the router's process alone.
"""

import platform

from router import __version__
from router.telemetry.declare import counter, gauge, histogram

STALL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

READY = gauge("router_ready", "1 while the router takes in work, as `/ready` says.")
BUILD_INFO = gauge(
    "router_build_info",
    "Always 1: the version of the router and of the Python that runs it.",
    {"version": "of the router", "python": "of Python"},
)
CONFIG_RELOADS = counter(
    "router_config_reload_total",
    "Times the template was read again because it had changed, by result.",
    {"result": ("ok", "failed")},
)
CONFIG_RELOAD_OK = gauge(
    "router_config_last_reload_successful",
    "1 while what runs is what the template's files say; 0 after a reload that was refused.",
)
CONFIG_RELOADED_AT = gauge(
    "router_config_last_reload_success_timestamp_seconds",
    "When the template was put into force last, at start or by a reload, in Unix time.",
)
LOOP_STALL = histogram(
    "router_event_loop_stall_seconds",
    "How late the event loop woke up, asked fifty times a second.",
    buckets=STALL_BUCKETS_S,
)
LOOP_STALL_MAX = gauge(
    "router_event_loop_stall_max_seconds",
    "Longest time the event loop, or the ingress process's, was held up since the scrape before, "
    "whoever's it was.",
)
CLOCK_JUMPS = counter(
    "router_clock_jumps_total",
    "Times the wall clock was set while the router ran.",
    {"direction": ("forward", "backward")},
)
SCRAPE_DURATION = histogram(
    "router_scrape_loop_seconds",
    "Time of the event loop that one rendering of all metrics took, in many short turns.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

BUILD_INFO.labels(__version__, platform.python_version()).set(1)
CONFIG_RELOADS.labels("ok")
CONFIG_RELOADS.labels("failed")
CONFIG_RELOAD_OK.set(1)
