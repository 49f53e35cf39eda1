"""A loop that is held up is seen."""

import asyncio
import time

from router.telemetry.loop_watch import LoopWatch


async def test_a_held_up_loop_is_seen_and_shown_once():
    watch = LoopWatch()
    probing = asyncio.create_task(watch.run())
    await asyncio.sleep(0.05)
    watch.take_worst_s()
    time.sleep(0.2)
    await asyncio.sleep(0.05)
    assert watch.take_worst_s() > 0.1
    assert watch.take_worst_s() == 0
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)


async def test_a_stall_of_another_loop_counts_too():
    late = []
    watch = LoopWatch(late.append)
    watch.note(0.7)
    watch.note(0.2)
    assert watch.take_worst_s() == 0.7
    assert late == []
