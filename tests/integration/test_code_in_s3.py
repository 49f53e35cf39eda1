"""Code of functions and layers from objects in a real S3 server (moto): got, or why not."""

from uuid import uuid4

import pytest

from router.control.errors import ApiError
from router.control.lambda_service.code_source import CodeSource
from router.functions.packages import CodeStore
from tests.contract.test_functions import package
from tests.integration.test_aws_destinations import client, keys, session

__all__ = ["keys", "session"]


@pytest.fixture
def bucket(moto):
    name = f"b-{uuid4()}"
    client("s3", moto).create_bucket(Bucket=name)
    return name


@pytest.fixture
def source(moto, session, keys, tmp_path):
    keys.setenv("AWS_ENDPOINT_URL_S3", moto.url)
    return CodeSource(CodeStore(tmp_path / "code"), session)


async def refusal(source, **code):
    with pytest.raises(ApiError) as caught:
        await source.take(code)
    assert caught.value.shape == "InvalidParameterValueException"
    return caught.value.message


async def test_an_object_is_taken(moto, source, bucket):
    s3 = client("s3", moto)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = package("x = 1\n"), package("x = 2\n")
    version = s3.put_object(Bucket=bucket, Key="a/code.zip", Body=first)["VersionId"]
    s3.put_object(Bucket=bucket, Key="a/code.zip", Body=second)
    where = {"S3Bucket": bucket, "S3Key": "a/code.zip"}
    newest = await source.take(where)
    older = await source.take({**where, "S3ObjectVersion": version})
    assert (newest.size_bytes, older.size_bytes) == (len(second), len(first))
    assert newest.hash != older.hash
    assert newest.unzipped_bytes == len("x = 2\n")


async def test_what_is_not_there_says_so_in_the_words_of_lambda(moto, source, bucket):
    start = "Error occurred while GetObject. S3 Error Code: "
    assert await refusal(source, S3Bucket=bucket, S3Key="none") == (
        f"{start}NoSuchKey. S3 Error Message: The specified key does not exist."
    )
    assert await refusal(source, S3Bucket=f"{bucket}-none", S3Key="k") == (
        f"{start}NoSuchBucket. S3 Error Message: The specified bucket does not exist"
    )


async def test_an_object_that_is_no_zip(moto, source, bucket):
    client("s3", moto).put_object(Bucket=bucket, Key="k", Body=b"text")
    assert "Could not unzip" in await refusal(source, S3Bucket=bucket, S3Key="k")


async def test_a_server_out_of_reach(source, keys):
    keys.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    text = await refusal(source, S3Bucket="b", S3Key="k")
    assert text.startswith("Error occurred while GetObject.")
    assert "AWS SDK's settings" in text
