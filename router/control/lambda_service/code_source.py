"""Where the code of a function or a layer comes from: the request itself, or an object in S3.

Texts of `functions-and-invocation.md` 4.5.
"""

import asyncio
from typing import Any, Final, Protocol

import structlog

from router.control.errors import ApiError
from router.control.lambda_service.names import invalid
from router.functions.packages import CodeStore, Package
from router.functions.zips import BadZip, UnzippedTooLarge
from router.model.limits import CODE_UNZIPPED_BYTES_MAX, CODE_ZIPPED_BYTES_MAX

log = structlog.get_logger()

GET_S_MAX: Final = 60.0
"""Longest time to fetch one object."""

_MISSING: Final = {
    "NoSuchBucket": "The specified bucket does not exist",
    "NoSuchKey": "The specified key does not exist.",
}

Params = dict[str, Any]


class Clients(Protocol):
    """AWS clients: `auth.aws_session.AwsSession`."""

    async def client(self, service: str, region: str = "") -> Any:
        """The client of a service."""


class CodeSource:
    """Takes in packages."""

    def __init__(self, codes: CodeStore, clients: Clients) -> None:
        self._codes = codes
        self._clients = clients

    async def take(self, code: Params) -> Package:
        """Fetch, check and keep what `Code` or `Content` names. Raises `ApiError`."""
        if code.get("ImageUri"):
            raise invalid("ImageUri is for functions created with PackageType Image.")
        data = code.get("ZipFile")
        if data is not None and len(data) > CODE_ZIPPED_BYTES_MAX:
            raise ApiError(
                "RequestEntityTooLargeException",
                f"Zipped size must be smaller than {CODE_ZIPPED_BYTES_MAX} bytes",
                status=413,
            )
        if code.get("S3Bucket") or code.get("S3Key"):
            if data is not None:
                raise invalid(
                    "Please do not provide other FunctionCode parameters when providing a ZipFile."
                )
            data = await self._fetch(code)
        if data is None:
            raise invalid("Please provide a source for function code.")
        return await self._unpack(data)

    async def _unpack(self, data: bytes) -> Package:
        try:
            return await self._codes.add_zip(data)
        except UnzippedTooLarge as error:
            raise invalid(str(error)) from None
        except BadZip as error:
            log.info("package_refused", error=str(error))
            raise invalid(
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            ) from None

    async def _fetch(self, code: Params) -> bytes:
        wanted = {"Bucket": code.get("S3Bucket") or "", "Key": code.get("S3Key") or ""}
        if not all(wanted.values()):
            raise invalid("Both S3Bucket and S3Key are needed to take code from S3.")
        if version := code.get("S3ObjectVersion"):
            wanted["VersionId"] = version
        try:
            async with asyncio.timeout(GET_S_MAX):
                s3 = await self._clients.client("s3")
                answer = await s3.get_object(**wanted)
                async with answer["Body"]:
                    return await _read(answer["Body"])
        except ApiError:
            raise
        except TimeoutError:
            raise _not_got("RequestTimeout", f"No whole answer within {GET_S_MAX:.0f} s") from None
        except Exception as error:  # whatever the SDK raises is the caller's to hear
            raise _refusal(error) from error


async def _read(body: Any) -> bytes:
    """The object, or as much as says that it is too large."""
    chunks, size_bytes = [], 0
    async for chunk in body.iter_chunks():
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > CODE_UNZIPPED_BYTES_MAX:
            raise invalid(f"Unzipped size must be smaller than {CODE_UNZIPPED_BYTES_MAX} bytes")
    return b"".join(chunks)


def _refusal(error: Exception) -> ApiError:
    from botocore import exceptions as sdk

    if isinstance(error, sdk.ClientError):
        told = error.response.get("Error", {})
        code = str(told.get("Code", "Unknown"))
        return _not_got(code, _MISSING.get(code) or str(told.get("Message", "")))
    return _not_got(type(error).__name__, f"{error}. S3 is where the AWS SDK's settings say")


def _not_got(code: str, text: str) -> ApiError:
    return invalid(
        f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {text}"
    )
