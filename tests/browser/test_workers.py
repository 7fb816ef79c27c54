"""The console's page about workers."""

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Serve
from tests.browser.portal_stub import Json, plain_project
from tests.browser.test_accessibility import expect_accessible

PROJECT = "parts"


def worker(name: str, **figures: object) -> Json:
    return {
        "worker": f"id-{name}",
        "name": name,
        "answers": 1200,
        "skips": 3,
        "agreement": 0.9125,
        "median_seconds": 2.5,
        "checks": 60,
        "accuracy": 0.95,
        "below_min_accuracy": False,
        **figures,
    }


def test_each_worker_is_told_of_and_who_is_below_is_marked(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(PROJECT))
    told: Json = {
        "project": PROJECT,
        "check_every": 20,
        "min_accuracy": 0.8,
        "open_job": "parts-1",
        "open_job_counted": False,
        "workers": [
            worker("<b>ada</b>"),
            worker("ben", accuracy=0.6, below_min_accuracy=True),
            worker("cleo", agreement=None, median_seconds=None, checks=0, accuracy=None),
        ],
    }
    portal.pages["GET", f"projects/{PROJECT}/workers"] = lambda _query, _body: told
    page = open_page(portal, f"#/projects/{PROJECT}/workers")
    ada = page.get_by_role("row", name="<b>ada</b>")
    expect(ada.get_by_role("cell")).to_have_text(["1,200", "3", "91.3 %", "2.5 s", "60", "95.0 %"])
    expect(page.get_by_role("row", name="ben").get_by_role("cell").last).to_have_text("60.0 % below 80 %")
    expect(page.get_by_role("row", name="cleo").get_by_role("cell").last).to_have_text("\N{EN DASH}")
    expect(page.get_by_text("1 worker below the accuracy of 80 %")).to_be_visible()
    expect(page.get_by_text("One task of 20 has a known answer")).to_be_visible()
    expect(page.get_by_text("Answers of the open job parts-1 count when it is concluded.")).to_be_visible()
    expect(page.get_by_role("link", name="Workers")).to_have_attribute("aria-current", "page")
    expect_accessible(page)
    page.set_viewport_size({"width": 390, "height": 844})
    expect_accessible(page)
    told["workers"] = []
    page.reload()
    expect(page.get_by_role("heading", name="No answers yet")).to_be_visible()
