import pytest
import torch
from torch.nn import functional

from temperature import fit_binary_scaling, fit_binary_temperature, fit_temperature


def test_temperature_undoes_exaggerated_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 5, generator=generator)
    labels = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(1.0, abs=0.2)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3.0, abs=0.5)


def test_no_other_temperature_is_likelier() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1000, 3, generator=generator) * 4
    labels = torch.multinomial(torch.softmax(logits / 2, dim=1), 1, generator=generator)[:, 0]
    found = fit_temperature(logits, labels)

    def loss(temperature: float) -> float:
        return float(functional.cross_entropy(logits / temperature, labels))

    assert loss(found) <= min(loss(found * factor) for factor in (0.7, 0.9, 1.1, 1.4)) + 1e-4


def test_few_right_answers_do_not_make_it_certain() -> None:
    logits = functional.one_hot(torch.arange(10), 10).float() * 10
    confidence = torch.softmax(logits / fit_temperature(logits, torch.arange(10)), dim=1).max(dim=1).values
    assert confidence.max() < 0.95


def test_without_images_confidence_stays_as_it_is() -> None:
    assert fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)) == 1.0


def test_temperature_of_yes_or_no_undoes_exaggerated_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 4, generator=generator) * 2
    truth = (torch.rand(1000, 4, generator=generator) < torch.sigmoid(logits)).float()
    assert fit_binary_temperature(logits, truth) == pytest.approx(1.0, abs=0.2)
    assert fit_binary_temperature(logits * 3, truth) == pytest.approx(3.0, abs=0.5)


def test_few_right_yes_or_no_answers_do_not_make_it_certain() -> None:
    truth = torch.tensor([1.0, 0.0, 0.0, 0.0])
    logits = (truth * 2 - 1) * 10
    assert torch.sigmoid(logits / fit_binary_temperature(logits, truth)).max() < 0.95
    assert fit_binary_temperature(torch.empty(0), torch.empty(0)) == 1.0


def test_scaling_undoes_exaggerated_and_biased_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, generator=generator) * 2
    truth = (torch.rand(2000, generator=generator) < torch.sigmoid(logits)).float()
    temperature, shift = fit_binary_scaling((logits - 1.5) * 3, truth)
    assert temperature == pytest.approx(3.0, abs=0.5)
    assert shift == pytest.approx(1.5, abs=0.3)


@pytest.mark.parametrize("truth", [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
def test_few_answers_are_scaled_within_bounds(truth: list[float]) -> None:
    temperature, shift = fit_binary_scaling(torch.tensor([4.0, -4.0]), torch.tensor(truth))
    assert 0.05 <= temperature <= 20
    assert abs(shift) < 10
    assert fit_binary_scaling(torch.empty(0), torch.empty(0)) == (1.0, 0.0)
