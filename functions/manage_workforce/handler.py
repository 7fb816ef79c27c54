"""CloudFormation's Custom::Workforce: a work team for Ground Truth, and a workforce where there is none.

Properties: StackName, UserPoolId. Attributes: WorkteamArn, WorkforceName, UserPoolId, UserGroup, SubDomain.
"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.custom_resources import Asked, answer
from loupe.logs import logged

logger = Logger(service="manage_workforce")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """A request of CloudFormation in; the answer goes to the URL that it names."""
    answer(event, manage, logger)


def manage(asked: Asked) -> dict[str, str]:
    stack, user_pool = asked.properties["StackName"], asked.properties["UserPoolId"]
    manage_workforce = bootstrap.manage_workforce()
    if asked.kind == "Delete":
        manage_workforce.remove(stack, user_pool)
        return {}
    provided = manage_workforce.provide(stack, user_pool)
    return {
        "WorkteamArn": provided.arn,
        "WorkforceName": provided.workforce,
        "UserPoolId": provided.user_pool,
        "UserGroup": provided.group,
        "SubDomain": provided.sub_domain,
    }
