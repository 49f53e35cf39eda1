"""Normal traffic: signed webhooks over a few keep-alive connections, each answer timed.

    python traffic.py ADDRESS LINES PAUSE_S SECRET

A process of its own, so that nothing a test does delays it. Each line is one sender with a key of
its own: the next record goes out after the 202 of the one before, and what was not answered 202
is sent again, on a new connection where the old one broke. Prints one JSON line per attempt:
`[began, seconds, status, key, n, late]`, times of the monotonic clock; status 0: no answer; `late`
is how much later than asked this process, which does next to nothing, woke up before: what anybody
on this machine waits for a processor. Ends when its input does.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import sys
import time

ANSWER_S = 30.0
RETRY_S = 0.05


class Sender:
    def __init__(self, host: str, port: int, key: str, secret: bytes) -> None:
        self.host, self.port, self.key, self.secret = host, port, key, secret
        self.line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def request(self, n: int) -> bytes:
        body = json.dumps({"key": self.key, "n": n}).encode()
        digest = hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        return (
            f"POST /in HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n"
            f"X-GitHub-Delivery: {self.key}-{n}\r\n"
            f"X-Hub-Signature-256: sha256={digest}\r\n\r\n"
        ).encode() + body

    async def post(self, n: int) -> int:
        try:
            async with asyncio.timeout(ANSWER_S):
                if self.line is None:
                    self.line = await asyncio.open_connection(self.host, self.port)
                reader, writer = self.line
                writer.write(self.request(n))
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            self.close()
            return 0
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        if self.line is not None:
            self.line[1].close()
            self.line = None

    async def run(self, pause_s: float) -> None:
        n, late_s = 0, 0.0
        while True:
            began = time.monotonic()
            status = await self.post(n)
            ended = time.monotonic()
            print(json.dumps([began, ended - began, status, self.key, n, late_s]), flush=True)
            if status == 202:
                n += 1
            wait_s = pause_s if status == 202 else RETRY_S
            began = time.monotonic()
            await asyncio.sleep(wait_s)
            late_s = time.monotonic() - began - wait_s


async def main() -> None:
    address, lines, pause_s, secret = sys.argv[1:]
    host, _, port = address.rpartition(":")
    senders = [Sender(host, int(port), f"k{n}", secret.encode()) for n in range(int(lines))]
    tasks = []
    for sender in senders:
        tasks.append(asyncio.create_task(sender.run(float(pause_s))))
        await asyncio.sleep(float(pause_s) / len(senders))
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
