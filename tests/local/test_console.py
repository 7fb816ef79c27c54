"""The console's API about a project whose loop has turned, as the deployed stack answers it."""

from __future__ import annotations

import json

import httpx

from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject
from tests.local.flows import A_LONG_WAIT, look_at, new_project, open_job, problem
from tests.local.waiting import eventually
from tests.unit.ingest.pictures import png


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


def test_the_dataset_of_a_model_has_a_report(deployment: Deployment, in_service: DigitProject) -> None:
    version = in_service.champion["version"]
    told = deployment.portal_request("GET", f"/projects/{in_service.name}/models/{version}").json()
    page = httpx.get(told["report_url"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"{in_service.name}: dataset version {told['dataset_version']}" in page.text


def test_people_ask_the_model_that_apps_ask(deployment: Deployment, in_service: DigitProject) -> None:
    path, image = f"/projects/{in_service.name}/predictions", {"content-type": "image/png"}
    answer = deployment.portal_request("POST", path, content=png(32, 32), headers=image)
    assert answer.status_code == 200
    assert answer.json()["model_version"] == in_service.champion["version"]
    refused = deployment.portal_request("POST", path, content=b"no image", headers=image)
    assert problem(refused) == (422, "not-an-image")
    nobody = image | {"authorization": "nobody"}
    refused = deployment.portal_request("POST", path, content=png(32, 32), headers=nobody)
    assert problem(refused) == (401, "signed-out")


def test_what_people_ask_for_is_done(deployment: Deployment, in_service: DigitProject) -> None:
    base = f"/projects/{in_service.name}/jobs"
    asked = deployment.portal_request("POST", f"{base}/reconciliation")
    assert asked.status_code == 202
    since = asked.json()["requested_at"]

    def reconciled() -> bool:
        last = deployment.portal_request("GET", base).json()["reconciliation"]
        return last is not None and last["at"] >= since

    eventually(reconciled, "the reconciliation")
    told = deployment.portal_request("GET", base).json()
    assert told["images"] == in_service.status["images"]
    assert told["champion"]["version"] == in_service.champion["version"]
    assert deployment.portal_request("GET", f"{base}/rejected").json() == {"rejected": [], "next": None}
    assert problem(deployment.portal_request("POST", f"{base}/labeling")) == (409, "conflict")


def test_a_job_is_cut_at_once_of_the_one_image_that_waits(deployment: Deployment) -> None:
    project = new_project("at-once")
    deployment.configure(project, ["cat", "dog"], labeling=A_LONG_WAIT)
    deployment.drop(f"{project}/a.png", png(24, 24))
    look_at(deployment, f"{project}/project.yaml", f"{project}/a.png")
    asked = deployment.portal_request("POST", f"/projects/{project}/jobs/labeling")
    assert asked.status_code == 202
    open_job(deployment, project, 1)


def test_a_label_corrected_in_the_console_is_in_the_next_version(
    deployment: Deployment, in_service: DigitProject
) -> None:
    base = f"/projects/{in_service.name}/datasets"
    before = in_service.last_training
    version = deployment.portal_request("GET", base).json()["versions"][0]["version"]
    page = deployment.portal_request("GET", f"{base}/latest/images", params={"split": "train"}).json()
    assert page["version"] == version
    image = page["images"][0]
    label = "1" if image["label"] != "1" else "2"
    wish = {"sha256": image["sha256"], "label": label, "seen": None}
    answer = deployment.portal_request("POST", f"{base}/{version}/corrections", json={"corrections": [wish]})
    assert (answer.status_code, answer.json()["corrections"][0]["corrected"]["label"]) == (200, label)
    told = deployment.portal_request("GET", f"{base}/{version}/images/{image['sha256']}").json()
    assert [said["label"] for said in told["history"]] == [label, image["label"]]
    assert httpx.get(told["url"]).content.startswith(b"\x89PNG")
    wish["label"] = "none of them"
    refused = deployment.portal_request("POST", f"{base}/{version}/corrections", json={"corrections": [wish]})
    assert problem(refused) == (422, "unknown-label")
    assert deployment.portal_request("POST", base).status_code == 202
    after = in_service.next_training(before)
    assert after["version"] is not None
    assert after["version"] != version
    rows = (
        json.loads(line)
        for line in in_service.workspace.lines(in_service.keys.split(after["version"], "train"))
    )
    names = {row["image-sha256"]: row["label-metadata"]["class-name"] for row in rows}
    assert names[image["sha256"]] == label
    path = f"{base}/{after['version']}/changes"
    changes = deployment.portal_request("GET", path, params={"since": version}).json()["changes"]
    assert changes["relabeled"] == 1
    assert problem(deployment.portal_request("POST", base)) == (409, "nothing-new")
    refused = deployment.portal_request("GET", base, headers={"authorization": "nobody"})
    assert problem(refused) == (401, "signed-out")
