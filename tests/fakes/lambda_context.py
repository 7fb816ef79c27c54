"""What Lambda tells a function of its invocation, as far as logs name it."""

from aws_lambda_powertools.utilities.typing import LambdaContext


class FakeLambdaContext(LambdaContext):
    """An invocation of a function of 512 MB."""

    def __init__(self) -> None:
        self._function_name = "function"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:us-east-1:111122223333:function:function"
        self._aws_request_id = "6ce39927-0000-4000-8000-000000000000"
