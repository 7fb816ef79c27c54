"""The console's API about a project whose loop has turned, as the deployed stack answers it."""

from __future__ import annotations

import httpx

from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject
from tests.local.flows import problem


def test_a_models_figures_lead_to_the_images_behind_them(
    deployment: Deployment, in_service: DigitProject
) -> None:
    base = f"/projects/{in_service.name}/models"
    listed = deployment.portal_request("GET", base).json()
    champion = next(model for model in listed["models"] if model["is_champion"])
    told = deployment.portal_request("GET", f"{base}/{champion['version']}").json()
    assert (told["outcome"], told["answers"]["known"]) == ("promoted", True)
    judged = deployment.portal_request("GET", f"{base}/{champion['version']}/judgements").json()
    assert judged["images"] == told["evaluation"]["test_images"]
    cell = judged["confusion"]["cells"][0]
    labels = {name: cell[name] for name in ("truth", "predicted") if cell[name] is not None}
    page = deployment.portal_request("GET", f"{base}/{champion['version']}/images", params=labels).json()
    assert page["total"] == cell["count"]
    assert httpx.get(page["images"][0]["url"]).content.startswith((b"\x89PNG", b"\xff\xd8"))
    assert problem(deployment.portal_request("GET", f"{base}/9999")) == (404, "model-not-found")
    for path in ("", "/0001", "/0001/judgements", "/0001/images"):
        refused = deployment.portal_request("GET", base + path, headers={"authorization": "nobody"})
        assert problem(refused) == (401, "signed-out")
