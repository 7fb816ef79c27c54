"""Rules of the template that no linter knows."""

import re
from pathlib import Path
from typing import Any

import pytest

from loupe import settings
from loupe.domain.console.deciding import RELEASERS

Resources = dict[str, Any]


def statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for policy in properties.get("Policies", []):
        if isinstance(policy, dict):  # a user pool's Policies are something else
            found += policy["Statement"] if "Statement" in policy else policy["PolicyDocument"]["Statement"]
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_each_function_folder_has_its_function_and_each_function_its_folder(
    functions: Resources, root: Path
) -> None:
    handlers = {properties["Handler"] for properties in functions.values()}
    folders = {f"{path.parent.name}.handler.handler" for path in root.glob("functions/*/handler.py")}
    assert handlers == folders


def test_each_function_gets_exactly_the_variables_that_its_settings_read(functions: Resources) -> None:
    for name, properties in functions.items():
        model = getattr(settings, name.removesuffix("Function") + "Settings")
        given = set(properties.get("Environment", {}).get("Variables", {}))
        required = {
            field.upper()
            for field, info in model.model_fields.items()
            if info.is_required() and field != "aws_region"  # Lambda sets AWS_REGION itself
        }
        known = {field.upper() for field in model.model_fields}
        assert required <= given <= known, name


def test_each_function_has_a_log_group_of_its_own_with_retention(
    functions: Resources, resources: Resources
) -> None:
    groups = [properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in functions.values()]
    assert len(set(groups)) == len(groups)
    for group in groups:
        assert resources[group]["Properties"]["RetentionInDays"]


def test_whatever_is_invoked_asynchronously_has_dead_letters(functions: Resources) -> None:
    for name, properties in functions.items():
        kinds = {event["Type"] for event in properties.get("Events", {}).values()}
        if kinds & {"EventBridgeRule", "Schedule"}:
            assert properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"], name
        for event in properties.get("Events", {}).values():
            if event["Type"] == "EventBridgeRule":
                assert event["Properties"]["DeadLetterConfig"]["Arn"], name


def test_each_rule_has_dead_letters_for_each_target(resources: Resources) -> None:
    rules = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::Events::Rule"]
    assert rules
    for rule in rules:
        assert all(target["DeadLetterConfig"]["Arn"] for target in rule["Targets"])


def test_each_dead_letter_queue_has_an_alarm_and_keeps_messages_for_two_weeks(resources: Resources) -> None:
    queues = {name for name, r in resources.items() if name.endswith("DeadLetterQueue")}
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for r in resources.values()
        if r["Type"] == "AWS::CloudWatch::Alarm"
        for dimension in r["Properties"].get("Dimensions", [])
        if isinstance(dimension["Value"], dict) and "Fn::GetAtt" in dimension["Value"]
    }
    assert queues
    assert queues <= watched
    assert all(resources[q]["Properties"]["MessageRetentionPeriod"] == 1209600 for q in queues)


def test_the_ingest_queue_hides_a_message_six_times_as_long_as_its_function_may_run(
    resources: Resources, functions: Resources
) -> None:
    visibility = resources["IngestQueue"]["Properties"]["VisibilityTimeout"]
    assert visibility >= 6 * functions["RegisterImagesFunction"]["Timeout"]


def test_no_role_may_do_everything(resources: Resources) -> None:
    for name, resource in resources.items():
        for statement in statements(resource["Properties"]):
            for action in as_list(statement["Action"]):
                assert "*" not in action, (name, action)


def test_roles_are_passed_to_sagemaker_only(resources: Resources) -> None:
    for name, resource in resources.items():
        for statement in statements(resource["Properties"]):
            if "iam:PassRole" in as_list(statement["Action"]):
                assert statement["Resource"] != "*", name
                assert (
                    statement["Condition"]["StringEquals"]["iam:PassedToService"] == "sagemaker.amazonaws.com"
                )


@pytest.mark.parametrize("bucket", ["RawDataBucket", "WorkspaceBucket"])
def test_buckets_are_private_encrypted_versioned_and_outlive_the_stack(
    resources: Resources, bucket: str
) -> None:
    resource = resources[bucket]
    assert all(resource["Properties"]["PublicAccessBlockConfiguration"].values())
    assert resource["Properties"]["BucketEncryption"]
    assert resource["Properties"]["VersioningConfiguration"]["Status"] == "Enabled"
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_labeling_pages_of_any_origin_may_show_images(resources: Resources) -> None:
    """Ground Truth's pages and the portal's show images of the raw-data bucket."""
    [rule] = resources["RawDataBucket"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (["GET"], ["*"])
    assert "Access-Control-Allow-Origin" in rule["ExposedHeaders"]
    assert "CorsConfiguration" not in resources["WorkspaceBucket"]["Properties"]


def test_ground_truth_writes_nothing_but_labeling_jobs(resources: Resources) -> None:
    written = [
        resource["Fn::Sub"]
        for statement in statements(resources["GroundTruthRole"]["Properties"])
        if "s3:PutObject" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    assert written == ["${WorkspaceBucket.Arn}/projects/*/labeling-jobs/*"]


def test_a_work_team_is_given_by_an_arn_of_a_private_or_vendor_workforce(template: dict[str, Any]) -> None:
    pattern = re.compile(template["Parameters"]["WorkteamArn"]["AllowedPattern"])
    team = "arn:aws:sagemaker:eu-west-1:111122223333:workteam/private-crowd/parts"
    for given in ("", team, team.replace("private", "vendor"), team.replace("aws:", "aws-us-gov:")):
        assert pattern.fullmatch(given), given
    wrong = ("parts", f"{team} ", team.replace("private", "public"), team.replace("111122223333", "1"))
    for given in wrong:
        assert not pattern.fullmatch(given), given


@pytest.mark.parametrize(
    ("parameter", "needed"),
    [
        ("GroundTruthOutputKey", {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"}),
        (
            "GroundTruthVolumeKey",
            {"kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"},
        ),
    ],
)
def test_ground_truth_may_use_the_keys_that_it_is_given_and_no_other(
    template: dict[str, Any], resources: Resources, parameter: str, needed: set[str]
) -> None:
    policies = [
        resource
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Policy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
        if statement["Resource"] == {"Ref": parameter}
    ]
    assert policies
    allowed: set[str] = set()
    for policy in policies:
        assert template["Conditions"][policy["Condition"]] == {
            "Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]
        }
        assert {"Ref": "GroundTruthRole"} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            actions = set(as_list(statement["Action"]))
            allowed |= actions
            if "kms:CreateGrant" in actions:
                assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": True}}
    assert needed <= allowed


def test_images_in_other_buckets_may_be_read_only_where_the_stack_refers_to_them(
    template: dict[str, Any], resources: Resources
) -> None:
    """And by those roles that may read the raw-data bucket for the sake of its images. Prediction is not
    among them: an app names images of its own project."""
    condition = template["Conditions"]["HasReferredBuckets"]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "ReferredBuckets"}]}, ""]}]}
    read, listed = resources["ReadReferredImages"], resources["ListReferredBuckets"]
    assert read["Condition"] == listed["Condition"] == "HasReferredBuckets"
    may_read = {role["Ref"] for role in read["Properties"]["Roles"]}
    may_list = {role["Ref"] for role in listed["Properties"]["Roles"]}
    reading = {
        name if name.endswith("Role") else f"{name}Role"
        for name, resource in resources.items()
        for statement in statements(resource["Properties"])
        if {"s3:GetObject", "s3:ListBucket"} & set(as_list(statement["Action"]))
        and any("RawDataBucket" in str(each) for each in as_list(statement["Resource"]))
    }
    assert may_read | may_list == reading - {"PredictFunctionRole", "TrainAndDeployRole"}
    assert not may_read & may_list


def test_each_bucket_that_is_referred_to_becomes_an_arn(resources: Resources) -> None:
    """As CloudFormation puts them together: a template can't loop."""

    def made(value: dict[str, Any], names: list[str]) -> list[str]:
        separator, text = value["Fn::Split"]
        template, variables = text["Fn::Sub"]
        delimiter, _ = variables["Names"]["Fn::Join"]
        joined: str = template.replace("${Names}", delimiter.join(names))
        return joined.split(separator)

    read, listed = resources["ReadReferredImages"]["Properties"]["PolicyDocument"]["Statement"]
    assert made(read["Resource"], ["a"]) == ["arn:*:s3:::a/*"]
    assert made(read["Resource"], ["a", "b"]) == ["arn:*:s3:::a/*", "arn:*:s3:::b/*"]
    assert made(listed["Resource"], ["a", "b"]) == ["arn:*:s3:::a", "arn:*:s3:::b"]


def test_a_work_team_may_be_made_in_a_workforce_with_another_user_pool(functions: Resources) -> None:
    """SageMaker looks the pool and its client up with the rights of who makes the team."""
    of_any_pool = {
        action
        for statement in statements(functions["ManageWorkforceFunction"])
        for resource in as_list(statement["Resource"])
        if isinstance(resource, dict) and "userpool/*" in resource.get("Fn::Sub", "")
        for action in as_list(statement["Action"])
    }
    assert {"cognito-idp:DescribeUserPool", "cognito-idp:DescribeUserPoolClient"} <= of_any_pool
    changing = {action for action in of_any_pool if re.search(":(Create|Update|Delete)", action)}
    assert changing == {"cognito-idp:CreateGroup", "cognito-idp:DeleteGroup"}


def test_what_costs_while_idle_is_not_in_the_template(resources: Resources) -> None:
    paid = {
        "AWS::SageMaker::Endpoint",
        "AWS::SageMaker::NotebookInstance",
        "AWS::EC2::NatGateway",
        "AWS::EC2::VPCEndpoint",
        "AWS::KMS::Key",
        "AWS::WAFv2::WebACL",
        "AWS::SecretsManager::Secret",
    }
    assert not paid & {resource["Type"] for resource in resources.values()}
    assert resources["IndexTable"]["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert not any("ProvisionedConcurrencyConfig" in r["Properties"] for r in resources.values())


def test_every_data_route_asks_who_is_there(functions: Resources) -> None:
    for name, properties in functions.items():
        for event in properties.get("Events", {}).values():
            if event["Type"] != "Api" or name == "ServePagesFunction":
                continue
            path, auth = event["Properties"]["Path"], event["Properties"]["Auth"]
            if path.startswith("/v1/"):
                assert auth == {"ApiKeyRequired": True}
            else:
                assert auth == {"Authorizer": "Workers"}


def test_the_user_pool_has_the_group_that_the_console_asks_for(resources: Resources) -> None:
    groups = [
        each["Properties"] for each in resources.values() if each["Type"] == "AWS::Cognito::UserPoolGroup"
    ]
    assert [group["GroupName"] for group in groups] == [RELEASERS]


def test_what_shows_models_may_not_decide_of_them(functions: Resources) -> None:
    actions = {
        action
        for statement in statements(functions["ModelApiFunction"])
        for action in as_list(statement["Action"])
    }
    assert {action.partition(":")[2] for action in actions} <= {
        "GetItem",
        "BatchGetItem",
        "Query",
        "PutEvents",
        "GetObject",
        "GetObjectVersion",
        "ListBucket",
    }


def test_nothing_knows_whether_it_runs_locally(root: Path) -> None:
    suspicious = re.compile(r"\bif\b.*\b(is_?)?local\b(?!_)|ministack|localhost|127\.0\.0\.1", re.IGNORECASE)
    places = [
        "functions/**/*.py",
        "layers/core/loupe/**/*.py",
        "statemachine/*",
        "web/**/*.js",
        "trainer/*.py",
    ]
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()}"
        for place in places
        for path in root.glob(place)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if suspicious.search(line) and not line.lstrip().startswith(("#", "//", "*"))
    ]
    assert found == []
