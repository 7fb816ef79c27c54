import re
from dataclasses import fields
from pathlib import Path

import pytest

from errors import TrainingError
from hyperparameters import Hyperparameters, parse_hyperparameters


def test_nothing_given_leaves_the_defaults() -> None:
    assert parse_hyperparameters([]) == Hyperparameters()


def test_dash_and_underscore_are_the_same() -> None:
    arguments = ["--batch-size", "8", "--learning_rate", "1e-3", "--backbone", "hf:some/model"]
    given = parse_hyperparameters(arguments)
    assert (given.batch_size, given.learning_rate, given.backbone) == (8, 1e-3, "hf:some/model")
    assert given.pretrained


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(TrainingError, match=r"'epoch'.*epochs.*learning-rate"):
        parse_hyperparameters(["--epoch", "3"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "whole number from 1"),
        (["--epochs", "3.5"], "whole number"),
        (["--learning-rate", "nan"], "a number above 0"),
        (["--learning-rate", "0"], "a number above 0"),
        (["--image-size", "16"], "from 32 to 1024"),
        (["--backbone", "resnet-huge"], "resnet-small or hf:<id or path>"),
        (["--backbone", "hf:"], "resnet-small or hf:<id or path>"),
        (["--flip", "sideways"], "none, horizontal, both"),
        (["--seed"], "has no value"),
        (["12"], "unknown hyperparameter"),
    ],
)
def test_wrong_value_is_answered_with_what_it_must_be(arguments: list[str], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        parse_hyperparameters(arguments)


def test_the_guide_names_every_hyperparameter() -> None:
    guide = Path(__file__).parents[3] / "docs" / "training.md"
    section = guide.read_text(encoding="utf-8").partition("## Hyperparameters")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert sorted(named) == sorted(field.name.replace("_", "-") for field in fields(Hyperparameters))
