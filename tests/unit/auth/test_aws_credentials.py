"""Who signs requests to AWS, as the SDK finds it."""

import pytest

from router.auth.aws_session import AwsSession, Credentials, NoCredentials


@pytest.fixture
def bare(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


async def test_keys_of_the_environment_and_the_endpoint_of_a_service(bare, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    aws = AwsSession("eu-central-1")
    assert await aws.credentials() == Credentials("AKID", "secret", "token")
    assert await aws.endpoint("sqs") == "http://127.0.0.1:9"
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS")
    assert await aws.endpoint("sqs", "us-west-2") == "https://sqs.us-west-2.amazonaws.com"
    await aws.close()


async def test_none_at_all_says_what_to_do(bare):
    aws = AwsSession("eu-central-1")
    with pytest.raises(NoCredentials, match="AWS_PROFILE"):
        await aws.credentials()
    (bare / "credentials").write_text(
        "[default]\naws_access_key_id = later\naws_secret_access_key = secret\n"
    )
    later = AwsSession("eu-central-1")
    assert (await later.credentials()).access_key_id == "later"
    await aws.close()
    await later.close()
