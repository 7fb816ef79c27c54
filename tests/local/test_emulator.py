"""What the local cloud adds to the emulator: fast queries, batches, retries, and no unsigned back doors."""

from __future__ import annotations

import io
import itertools
import json
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.home import REGION
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

PARTITIONS = {"big": 150, "small": 5}


def client(cloud: LocalCloud, service: str) -> Any:
    return cloud.session().client(service, endpoint_url=cloud.endpoint_url)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def table(local_cloud: LocalCloud) -> str:
    """Items `number` 0..n-1 of two partitions, each in an index by state and text of the number."""
    dynamodb = client(local_cloud, "dynamodb")
    name = f"numbers-{uuid.uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "part", "AttributeType": "S"},
            {"AttributeName": "number", "AttributeType": "N"},
            {"AttributeName": "state", "AttributeType": "S"},
            {"AttributeName": "text", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "part", "KeyType": "HASH"},
            {"AttributeName": "number", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-state",
                "KeySchema": [
                    {"AttributeName": "state", "KeyType": "HASH"},
                    {"AttributeName": "text", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    for part, count in PARTITIONS.items():
        for number in range(count):
            dynamodb.put_item(TableName=name, Item=item(part, number))
    return name


def item(part: str, number: int, state: str = "open") -> dict[str, Any]:
    return {
        "part": {"S": part},
        "number": {"N": str(number)},
        "state": {"S": f"{part}-{state}"},
        "text": {"S": f"{number % 7}-{number:03d}"},
    }


CONDITIONS: dict[str, Callable[[int], bool]] = {
    "": lambda _: True,
    " AND #k = :a": lambda n: n == 40,
    " AND #k < :a": lambda n: n < 40,
    " AND #k <= :a": lambda n: n <= 40,
    " AND #k > :a": lambda n: n > 40,
    " AND #k >= :a": lambda n: n >= 40,
    " AND #k BETWEEN :a AND :b": lambda n: 40 <= n <= 55,
}


@pytest.mark.parametrize("part", PARTITIONS)
@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_pages_of_a_query_hold_what_the_condition_says_in_order(
    local_cloud: LocalCloud, table: str, condition: str, forward: bool, part: str
) -> None:
    values = {":p": {"S": part}}
    if ":a" in condition:
        values[":a"] = {"N": "40"}
    if ":b" in condition:
        values[":b"] = {"N": "55"}
    names = {"#k": "number"} if condition else {}
    pages = (
        client(local_cloud, "dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=table,
            KeyConditionExpression=f"part = :p{condition}",
            ExpressionAttributeValues=values,
            ScanIndexForward=forward,
            PaginationConfig={"PageSize": 7},
            **({"ExpressionAttributeNames": names} if names else {}),
        )
    )
    found = [int(entry["number"]["N"]) for page in pages for entry in page["Items"]]
    wanted = [number for number in range(PARTITIONS[part]) if CONDITIONS[condition](number)]
    assert found == (wanted if forward else wanted[::-1])


@pytest.mark.parametrize("prefix", ["", "3-", "3-1"])
def test_an_index_is_read_in_its_own_order(local_cloud: LocalCloud, table: str, prefix: str) -> None:
    pages = (
        client(local_cloud, "dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=table,
            IndexName="by-state",
            KeyConditionExpression="#s = :s AND begins_with(#t, :t)" if prefix else "#s = :s",
            ExpressionAttributeNames={"#s": "state", **({"#t": "text"} if prefix else {})},
            ExpressionAttributeValues={":s": {"S": "big-open"}, **({":t": {"S": prefix}} if prefix else {})},
            PaginationConfig={"PageSize": 11},
        )
    )
    found = [entry["text"]["S"] for page in pages for entry in page["Items"]]
    texts = sorted(item("big", number)["text"]["S"] for number in range(PARTITIONS["big"]))
    assert found == [text for text in texts if text.startswith(prefix)]


def test_changes_are_seen_by_the_next_query(local_cloud: LocalCloud, table: str) -> None:
    dynamodb = client(local_cloud, "dynamodb")

    def first(state: str) -> list[str]:
        answer = dynamodb.query(
            TableName=table,
            IndexName="by-state",
            KeyConditionExpression="#s = :s",
            ExpressionAttributeNames={"#s": "state"},
            ExpressionAttributeValues={":s": {"S": f"changing-{state}"}},
            Limit=2,
        )
        return [entry["number"]["N"] for entry in answer["Items"]]

    for number in range(100, 200):
        dynamodb.put_item(TableName=table, Item=item("changing", number) | {"text": {"S": str(number)}})
    assert first("open") == ["100", "101"]
    dynamodb.put_item(TableName=table, Item=item("changing", 100, "done") | {"text": {"S": "100"}})
    dynamodb.delete_item(TableName=table, Key={"part": {"S": "changing"}, "number": {"N": "101"}})
    dynamodb.update_item(
        TableName=table,
        Key={"part": {"S": "changing"}, "number": {"N": "150"}},
        UpdateExpression="SET #t = :t",
        ExpressionAttributeNames={"#t": "text"},
        ExpressionAttributeValues={":t": {"S": "000"}},
    )
    assert first("open") == ["150", "102"]
    assert first("done") == ["100"]


def test_a_policys_wildcard_stands_for_any_character(local_cloud: LocalCloud) -> None:
    iam, admin = client(local_cloud, "iam"), client(local_cloud, "s3")
    name = f"reader-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/folder/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    reader = boto3.client(
        "s3",
        endpoint_url=local_cloud.endpoint_url,
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )
    admin.create_bucket(Bucket=name)
    for key in ("folder/two\nlines", "other/two\nlines"):
        admin.put_object(Bucket=name, Key=key, Body=b"content")
    assert reader.get_object(Bucket=name, Key="folder/two\nlines")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="not authorized"):
        reader.get_object(Bucket=name, Key="other/two\nlines")


HANDLER = """
import json, os, urllib.request, boto3
def handle(event, context):
    if event.get("source") == "tests.failing":
        raise RuntimeError("as the test wants it")
    boto3.client("sqs").send_message(QueueUrl=os.environ["REPORTS"], MessageBody=str(len(event["Records"])))
"""


@pytest.fixture(scope="module")
def queues(local_cloud: LocalCloud) -> dict[str, str]:
    """A function fed by a queue (batches of 40 in 3 s), with one for its reports and one for its failures."""
    sqs, functions, iam = (client(local_cloud, service) for service in ("sqs", "lambda", "iam"))
    suffix = uuid.uuid4().hex[:8]
    urls = {
        name: sqs.create_queue(QueueName=f"{name}-{suffix}")["QueueUrl"]
        for name in ("jobs", "reports", "dead")
    }
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in urls.items()
    }
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
    role = iam.create_role(
        RoleName=f"function-{suffix}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName=f"function-{suffix}",
        PolicyName="allow",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", HANDLER)
    function = functions.create_function(
        FunctionName=f"function-{suffix}",
        Runtime="python3.13",
        Handler="handler.handle",
        Role=role,
        Code={"ZipFile": code.getvalue()},
        Timeout=20,
        Environment={"Variables": {"REPORTS": urls["reports"]}},
        DeadLetterConfig={"TargetArn": arns["dead"]},
    )["FunctionArn"]
    functions.create_event_source_mapping(
        EventSourceArn=arns["jobs"], FunctionName=function, BatchSize=40, MaximumBatchingWindowInSeconds=3
    )
    events = client(local_cloud, "events")
    events.put_rule(Name=f"failing-{suffix}", EventPattern=json.dumps({"source": ["tests.failing"]}))
    events.put_targets(Rule=f"failing-{suffix}", Targets=[{"Id": "function", "Arn": function}])
    return urls


def test_messages_reach_a_function_in_batches_of_the_window(
    local_cloud: LocalCloud, queues: dict[str, str]
) -> None:
    sqs = client(local_cloud, "sqs")
    for _ in range(3):
        entries = [{"Id": str(number), "MessageBody": "job"} for number in range(10)]
        sqs.send_message_batch(QueueUrl=queues["jobs"], Entries=entries)
    sizes: list[int] = []

    def all_reported() -> bool:
        received = sqs.receive_message(QueueUrl=queues["reports"], WaitTimeSeconds=1)
        sizes.extend(int(message["Body"]) for message in received.get("Messages", []))
        return sum(sizes) >= 30

    eventually(all_reported, "reports of all jobs")
    assert sizes == [30]


def test_an_event_that_a_function_fails_on_reaches_its_dead_letter_queue(
    local_cloud: LocalCloud, queues: dict[str, str]
) -> None:
    entry = {"Source": "tests.failing", "DetailType": "Anything", "Detail": '{"number": 7}'}
    client(local_cloud, "events").put_events(Entries=[entry])
    sqs = client(local_cloud, "sqs")
    dead = eventually(
        lambda: sqs.receive_message(QueueUrl=queues["dead"], WaitTimeSeconds=1).get("Messages"),
        "a dead letter",
    )
    said = json.loads(dead[0]["Body"])
    assert said["requestPayload"]["detail"] == {"number": 7}
    assert said["responsePayload"]["errorMessage"] == "as the test wants it"


def test_every_version_of_an_object_can_be_read_and_comes_back(local_cloud: LocalCloud) -> None:
    s3, bucket = client(local_cloud, "s3"), f"versions-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)

    def put(body: bytes) -> str:
        version: str = s3.put_object(Bucket=bucket, Key="a b", Body=body).get("VersionId", "null")
        return version

    def read(**version: str) -> bytes:
        body: bytes = s3.get_object(Bucket=bucket, Key="a b", **version)["Body"].read()
        return body

    before = put(b"before versioning")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = put(b"first"), put(b"second")
    s3.delete_object(Bucket=bucket, Key="a b")
    assert read(VersionId=before) == b"before versioning"
    assert read(VersionId=first) == b"first"
    assert read(VersionId=second) == b"second"
    [marker] = s3.list_object_versions(Bucket=bucket)["DeleteMarkers"]
    s3.delete_object(Bucket=bucket, Key="a b", VersionId=marker["VersionId"])
    assert read() == b"second"
    s3.delete_object(Bucket=bucket, Key="a b", VersionId=second)
    assert read() == b"first"
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b"})
    copied: bytes = s3.get_object(Bucket=bucket, Key="copy")["Body"].read()
    assert copied == b"first"


@pytest.mark.parametrize(
    ("method", "path"),
    itertools.chain(
        [("POST", "/_ministack/reset"), ("POST", "/_ministack/config"), ("GET", "/_aws/sqs/messages")],
        [("GET", "/some-bucket/some-key")],
    ),
)
def test_nothing_is_open_to_unsigned_requests(local_cloud: LocalCloud, method: str, path: str) -> None:
    request = urllib.request.Request(local_cloud.endpoint_url + path, method=method)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310
    assert refused.value.code in (403, 404)
