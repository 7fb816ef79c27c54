import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks here are tiny: several threads would only wait for one another."""
    torch.set_num_threads(1)
