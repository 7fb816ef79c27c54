"""AWS in process: an empty account for each test, and Loupe's table in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from loupe.adapters.table import IndexTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REGION = "us-east-1"


@pytest.fixture
def aws() -> Iterator[None]:
    """An AWS account that is empty and lives in this process only."""
    with mock_aws():
        yield


@pytest.fixture
def index_table(aws: None) -> IndexTable:
    """The index as template.yaml creates it."""
    client = boto3.client("dynamodb", region_name=REGION)
    create_index_table(client, "index")
    return IndexTable(client, "index", sleep=lambda _: None)


def create_index_table(client: "DynamoDBClient", name: str) -> None:
    """Keys pk and sk, and the sparse indexes gsi1 and gsi2."""
    attributes = ("pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in attributes],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": f"{index}pk", "KeyType": "HASH"},
                    {"AttributeName": f"{index}sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
            for index in ("gsi1", "gsi2")
        ],
    )
