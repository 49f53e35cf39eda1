"""The client of the hot calls, against a server that answers byte for byte as it is told.

On asyncio's own loop and on uvloop.
"""

import asyncio
import ssl
import subprocess

import pytest

from router.sources import http_client
from router.sources.http_client import HttpClient

HERE = "127.0.0.1"
ANY = 1 << 20
LONG_S = 30
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Place:
    """Answers each request with the next of `answers`, the last one for ever.

    None closes the connection instead.
    """

    def __init__(self, *answers):
        self.answers = list(answers) or [OK]
        self.requests = []
        self.connections = 0
        self.ended = 0
        self.closes = False
        self.tasks = set()

    async def start(self, **more):
        self.server = await asyncio.start_server(self._serve, HERE, 0, **more)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http://{HERE}:{self.port}"
        return self

    async def _serve(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    break
                for part in answer if isinstance(answer, list) else [answer]:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def stop(self):
        self.server.close()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def post(self, client=None, *, body=b"x", most=ANY):
        client = client or self.client
        return await client.post("/path", {"host": "here", "x-a": "b"}, body, most)


@pytest.fixture
async def place():
    place = await Place().start()
    place.client = HttpClient(place.url)
    yield place
    place.client.close()
    await place.stop()


async def until(is_so):
    async with asyncio.timeout(LONG_S):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_a_request_is_what_it_was_told_and_its_length(place):
    assert await place.post(body=b"{12}") == (200, b"{}")
    assert place.requests == [
        (b"POST /path HTTP/1.1\r\nhost: here\r\nx-a: b\r\ncontent-length: 4\r\n\r\n", b"{12}")
    ]


async def test_a_connection_is_kept_and_has_one_call_at_a_time(place):
    for _ in range(3):
        await place.post()
    assert place.connections == 1
    await asyncio.gather(*(place.post() for _ in range(4)))
    await asyncio.gather(*(place.post() for _ in range(4)))
    assert place.connections == 4


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, (200, b"{}")),
        ([OK[index : index + 1] for index in range(len(OK))], (200, b"{}")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
         (200, b"{}")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"{}")),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", OK], (200, b"{}")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 307 Elsewhere\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", (307, b"")),
        (b"HTTP/1.1 503 Not now\r\nContent-Length: 1\r\n\r\nx", (503, b"x")),
    ],
)  # fmt: skip
async def test_answers_of_every_form_leave_the_connection_for_the_next_call(
    place, answer, expected
):
    place.answers = [answer]
    for _ in range(2):
        assert await place.post() == expected
    assert place.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        [b"HTTP/1.0 200 OK\r\n\r\n{", b"}"],
    ],
)
async def test_an_answer_may_end_with_its_connection(place, answer):
    place.answers, place.closes = [answer], True
    for _ in range(2):
        assert await place.post() == (200, b"{}")
    assert place.connections == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "closed before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "closed before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "closed before"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed before"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "no HTTP"),
        (b"HTTP/1.1 016 Early\r\n\r\n{}", "status 16"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (80 << 10), "head larger than 65536"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2_000, "larger than 1000"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000, "larger than 1000"),
    ],
)
async def test_l2_what_is_no_whole_answer_is_lost_and_its_connection_closed(place, answer, words):
    place.answers, place.closes = [answer], True
    with pytest.raises(OSError, match=words):
        await place.post(most=1_000)
    await until(lambda: place.ended == 1)
    place.answers, place.closes = [OK], False
    assert await place.post() == (200, b"{}")
    assert place.connections == 2


async def test_what_nobody_asked_for_ends_a_connection(place):
    """It would else be taken for the answer of the next call."""
    place.answers = [OK + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", OK]
    for _ in range(2):
        assert await place.post() == (200, b"{}")
    assert place.connections == 2
    place.answers = [[OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"], OK]
    for ended in (2, 2):
        assert await place.post() == (200, b"{}")
        await until(lambda: place.ended >= ended)  # noqa: B023


async def test_a_connection_that_was_closed_meanwhile_is_not_used(place):
    place.closes = True
    await place.post()
    await until(lambda: not place.client._free[0].is_reusable)
    assert await place.post() == (200, b"{}")
    assert place.connections == 2


async def test_a_connection_that_rested_too_long_is_not_used(place, monkeypatch):
    await place.post()
    monkeypatch.setattr(http_client, "IDLE_S_MAX", -1)
    await place.post()
    assert place.connections == 2
    await until(lambda: place.ended >= 1)


async def test_what_is_cut_off_closes_its_connection(place):
    """Its answer must not be taken for another call's."""
    place.answers = [[b""], OK]
    call = asyncio.create_task(place.post())
    await until(lambda: place.requests)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await place.post() == (200, b"{}")
    assert place.connections == 2


async def test_closing_ends_calls_and_connections(place):
    place.answers = [OK, [b"HTTP/1.1 200 OK\r\n\r\n{"]]
    await place.post()
    call = asyncio.create_task(place.post())
    await until(lambda: len(place.requests) == 2)
    await asyncio.sleep(0.01)
    place.client.close()
    with pytest.raises(OSError, match="closed before"):
        await call
    await until(lambda: place.ended == place.connections)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:80",
        "ftp://here",
        "http:///path",
        "http://a:x",
        "http://a/b c",
        "http://\u00e4/",
    ],
)
def test_an_address_must_be_one(url):
    with pytest.raises(ValueError, match=r"address|[Pp]ort"):
        HttpClient(url)


async def test_nobody_there_and_no_such_host_are_told(place):
    await place.stop()
    with pytest.raises(OSError, match=str(place.port)):
        await place.post()
    for url in ("http://no-such-host.invalid", f"http://a..b{'c' * 70}"):
        with pytest.raises(OSError, match=r"."):
            await place.post(HttpClient(url))


async def test_every_address_of_a_host_is_tried(place, monkeypatch):
    """Also where the first one does not answer at all."""

    async def found(_loop, _host, port, **_more):
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.8", "127.0.0.9", HERE)]

    async def connect_to(self, address):
        tried.append(address)
        if address == "127.0.0.8":
            await asyncio.Event().wait()
        return await to(self, address)

    tried, to = [], HttpClient._connect_to
    monkeypatch.setattr(http_client, "CONNECT_S_MAX", 1)
    monkeypatch.setattr(HttpClient, "_connect_to", connect_to)
    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", found)
    client = HttpClient(f"http://three-of-them:{place.port}")
    assert await place.post(client) == (200, b"{}")
    assert tried == ["127.0.0.8", "127.0.0.9", HERE]
    client.close()


async def test_l3_an_address_that_does_not_answer_ends(place, monkeypatch):
    async def never(_self, _address):
        await asyncio.Event().wait()

    monkeypatch.setattr(http_client, "CONNECT_S_MAX", 0.01)
    monkeypatch.setattr(HttpClient, "_connect_to", never)
    with pytest.raises(TimeoutError, match="does not answer"):
        await place.post()


def certificate(folder, name):
    """Of itself; the files of the certificate and its key."""
    files = folder / "own.crt", folder / "own.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "AWS_CA_BUNDLE"])
async def test_tls_is_spoken_with_whom_the_machine_trusts_only(tmp_path, monkeypatch, variable):
    made = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    place = await Place().start(ssl=context)
    stranger, friend, elsewhere = (
        HttpClient(f"https://{name}:{place.port}") for name in ("localhost", "localhost", HERE)
    )
    try:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await place.post(stranger)
        monkeypatch.setenv(variable, str(made[0]))
        for _ in range(2):
            assert await place.post(friend) == (200, b"{}")
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await place.post(elsewhere)
    finally:
        friend.close()
        await place.stop()
