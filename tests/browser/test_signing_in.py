from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Serve, expect_image, sign_in
from tests.browser.portal_stub import plain_project


def test_signing_in_shows_projects_with_open_work_first(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project("asleep", open=False), plain_project("shapes"))
    page = open_page(portal)
    expect(page.get_by_role("heading", level=3)).to_have_text(["shapes", "asleep"])
    expect(page.locator("article", has_text="asleep")).to_contain_text("No work now")
    expect(page.locator("article", has_text="shapes")).to_contain_text("0 of 12")
    page.get_by_role("link", name="Start labeling shapes").click()
    expect_image(page, "shapes/000.png")
    assert page.url.endswith("#/projects/shapes")


def test_a_wrong_password_is_told_and_the_form_stays(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(plain_project()), worker=None)
    sign_in(page, "maria", "wrong")
    expect(page.get_by_role("alert")).to_have_text("User name or password is wrong.")
    expect(page.get_by_label("User name")).to_have_value("maria")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def test_an_empty_field_is_named(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(plain_project()), worker=None)
    sign_in(page, "maria", "")
    expect(page.get_by_role("alert")).to_have_text("Password is missing.")


def test_a_temporary_password_is_replaced_at_the_first_sign_in(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, worker=None)
    sign_in(page, "nia", "temporary")
    page.get_by_label("New password").fill("short")
    page.get_by_label("The same again").fill("shirt")
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The two passwords differ.")
    page.get_by_label("The same again").fill("short")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Password not long enough")
    page.get_by_label("New password").fill("long enough now")
    page.get_by_label("The same again").fill("long enough now")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    assert portal.passwords["nia"] == "long enough now"


def test_an_unreachable_sign_in_is_told(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, worker=None)
    expect(page.get_by_label("User name")).to_be_visible()  # with all that the page itself asks for
    portal.outage = True
    sign_in(page, "maria", "correct horse")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_a_reload_keeps_the_worker_signed_in(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(plain_project()), "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.reload()
    expect_image(page, "shapes/000.png")


def test_signing_out_gives_tasks_back_and_forgets_the_tokens(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to label")).to_be_visible()
    assert portal.projects["shapes"].leases == {}
    assert page.evaluate("sessionStorage.getItem('loupe:session')") is None


def test_an_unknown_project_leads_back_to_the_list(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(plain_project()), "#/projects/nothing")
    expect(page.get_by_role("heading", name="No such project")).to_be_visible()
    page.get_by_role("link", name="All projects", exact=True).click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def test_an_address_that_names_no_view_leads_back(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(plain_project("shapes")), "#/projects/shapes/nowhere")
    expect(page.get_by_role("heading", name="No such page")).to_be_visible()
    page.get_by_role("link", name="Label shapes").click()
    expect_image(page, "shapes/000.png")
