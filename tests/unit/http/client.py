"""A client that says exactly what it is told to, byte by byte."""

import asyncio
import socket
import struct

import msgspec

from router.http.values import Response
from router.model.function_url import UrlAnswer, UrlCall
from tests.patience import PATIENCE_S


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One raw connection."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, has_body: bool = True) -> Reply:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        line, *lines = head.decode().split("\r\n")[:-2]
        headers = dict(text.split(": ", 1) for text in lines)
        is_chunked = headers.get("transfer-encoding") == "chunked"
        size = int(headers.get("content-length", 0)) if has_body and not is_chunked else 0
        return Reply(int(line.split()[1]), headers, await self.reader.readexactly(size))

    async def chunk(self) -> bytes:
        """The next of an answer in chunks; nothing after the last."""
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE_S)
        data = await asyncio.wait_for(self.reader.readexactly(int(line, 16) + 2), PATIENCE_S)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def rest(self) -> bytes:
        """All chunks to the last."""
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    async def is_closed(self, wait_s: float = PATIENCE_S) -> bool:
        """Whether the server closes without saying another word."""
        try:
            return await asyncio.wait_for(self.reader.read(1), wait_s) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def reset(self) -> None:
        """Leave without a goodbye: the other end is told by a reset."""
        socket_ = self.writer.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, OSError):
            return


async def connect(address) -> Client:
    return Client(*await asyncio.open_connection(*address))


def post(body: bytes = b"", path: str = "/echo", **headers: str) -> bytes:
    """A well-formed POST; underscores in names become hyphens."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def answered(handler, request):
    """A handler's answer without a server."""
    answer = handler.on_request(request)
    while not isinstance(answer, Response):
        done = asyncio.get_running_loop().create_future()
        answer.watch(done.set_result)
        await done
        answer = answer.response()
    return answer


async def no_function(call: UrlCall) -> tuple[UrlAnswer, None]:
    """Of a router without functions."""
    return UrlAnswer(call.number, 403, [("content-type", "application/json")], b"{}"), None
