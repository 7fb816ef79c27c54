"""Network, session, leases and jobs end in the middle of the work, and no answer is lost."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Serve, expect_all_sent, expect_image, sign_in, unsent, wait_until
from tests.browser.portal_stub import PortalStub, plain_image, plain_project


def notice(page: Page, text: str) -> None:
    expect(page.locator(".notice")).to_contain_text([text])


def wait_for_requests(page: Page, portal: PortalStub, method: str, count: int) -> None:
    wait_until(page, lambda: sum(request[0] == method for request in portal.requests) >= count)


def test_answers_given_offline_are_kept_and_sent_when_the_network_is_back(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    for task in range(3):
        expect_image(page, f"shapes/{task:03}.png")
        page.keyboard.press("2")
    banner = page.locator(".banner")
    expect(banner).to_have_text("Offline: 3 answers kept, sending when the network is back.")
    expect_image(page, "shapes/003.png")
    page.context.set_offline(False)
    expect(banner).to_be_hidden()
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:4] == ["square"] * 3 + [None]


def test_all_images_answered_offline_says_so_and_goes_on_by_itself(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=10))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    for task in range(6):
        expect_image(page, f"shapes/{task:03}.png")
        page.keyboard.press("1")
    expect(page.get_by_role("heading", name="No connection")).to_be_visible()
    page.context.set_offline(False)
    expect_image(page, "shapes/006.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:6] == ["circle"] * 6


def test_a_server_that_is_away_gets_every_answer_later_and_once(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.wait_for_load_state("networkidle")
    portal.outage = True
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    page.keyboard.press("u")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("3")
    expect(page.locator(".banner")).to_have_text("Offline: 1 answer kept, sending when the network is back.")
    portal.outage = False
    expect_all_sent(page)
    assert portal.annotations() == [{"label": "triangle"}]


def test_a_server_error_keeps_the_answer(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.annotation_status = 502
    page.keyboard.press("1")
    expect(page.locator(".banner")).to_contain_text("does not take answers at the moment: 1 answer kept")
    expect_image(page, "shapes/001.png")
    portal.annotation_status = None
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[0] == "circle"


def test_a_reload_keeps_unsent_answers_and_sends_them(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.annotation_status = 503
    page.keyboard.press("1")
    page.keyboard.press("2")
    expect_image(page, "shapes/002.png")
    assert unsent(page) == 2
    page.reload()
    expect_image(page, "shapes/002.png")
    expect(page.locator(".mine")).to_have_text("2 by you")
    assert unsent(page) == 2
    portal.annotation_status = None
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:3] == ["circle", "square", None]


def test_closing_the_tab_right_after_an_answer_loses_nothing(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("1")
    page.goto("about:blank")
    wait_for_requests(page, portal, "PUT", 1)
    assert portal.projects["shapes"].answered_labels()[0] == "circle"


def test_an_expired_token_is_renewed_unseen(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.expire_id_tokens()
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    expect_all_sent(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert portal.projects["shapes"].answered_labels()[0] == "circle"


def test_after_the_session_has_ended_signing_in_goes_on_at_the_same_place(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.end_sessions()
    page.keyboard.press("2")
    dialog = page.get_by_role("dialog", name="Sign in again")
    expect(dialog).to_contain_text("Your answers are kept")
    expect(dialog.get_by_label("User name")).to_have_value("maria")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Password")).to_be_focused()
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect_image(page, "shapes/001.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:2] == ["square", None]
    page.keyboard.press("1")
    expect_image(page, "shapes/002.png")


def test_another_worker_in_the_same_browser_neither_sends_nor_loses_my_answers(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.annotation_status = 503
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Kept in this browser until you sign in: 1 answer of maria.")).to_be_visible()
    portal.annotation_status = None
    sign_in(page, "ben", portal.passwords["ben"])
    expect_image(page, "shapes/006.png")
    page.keyboard.press("3")
    expect_image(page, "shapes/007.png")
    wait_until(page, lambda: unsent(page) == 1)
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, "maria", portal.passwords["maria"])
    expect_all_sent(page)
    answers = portal.projects["shapes"].answers
    assert answers == {0: ("maria", {"label": "circle"}), 6: ("ben", {"label": "triangle"})}


def test_a_task_that_somebody_else_answered_is_told_and_work_goes_on(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    shapes = portal.projects["shapes"]
    shapes.answers[0] = ("ben", {"label": "square"})
    page.keyboard.press("1")
    notice(page, "Another worker has answered shapes/000.png meanwhile.")
    expect_image(page, "shapes/001.png")
    expect(page.locator(".mine")).to_have_text("")
    page.keyboard.press("1")
    expect_image(page, "shapes/002.png")
    expect_all_sent(page)
    assert shapes.answered_labels()[:2] == ["square", "circle"]


def test_a_job_that_finishes_meanwhile_makes_way_for_the_next(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    next_images = [plain_image(100, "shapes/next.png"), plain_image(120, "shapes/last.png")]
    portal.projects["shapes"] = plain_project(job="job-2")
    portal.projects["shapes"].images = next_images
    page.keyboard.press("1")
    notice(page, "This batch was finished meanwhile")
    expect_image(page, "shapes/next.png")
    page.keyboard.press("2")
    expect_image(page, "shapes/last.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels() == ["square", None]


def test_a_job_that_ends_for_good_says_that_no_work_is_left(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.projects["shapes"].open = False
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="No work left")).to_be_visible()


def test_labels_that_changed_meanwhile_are_shown_and_the_image_comes_again(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project(tasks=2))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    portal.projects["shapes"].labels = ["round", "edged"]
    page.keyboard.press("1")
    notice(page, "The labels have changed: shapes/000.png comes again.")
    expect(page.locator(".label-name")).to_have_text(["round", "edged"])
    expect_image(page, "shapes/001.png")
    page.keyboard.press("2")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("1")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels() == ["round", "edged"]


def test_new_work_shows_up_by_itself(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(open=False))
    page = open_page(portal, "#/projects/shapes", clock=True)
    expect(page.get_by_role("heading", name="No work left")).to_be_visible()
    portal.projects["shapes"].open = True
    page.clock.fast_forward(16_000)
    expect_image(page, "shapes/000.png")


def test_when_others_hold_all_tasks_the_page_waits_for_one_to_come_back(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project(tasks=6))
    ben = open_page(portal, "#/projects/shapes", worker="ben")
    expect_image(ben, "shapes/000.png")
    maria = open_page(portal, "#/projects/shapes", clock=True)
    expect(maria.get_by_role("heading", name="Others are on the last images")).to_be_visible()
    ben.close()
    wait_until(maria, lambda: portal.projects["shapes"].leases == {})
    maria.clock.fast_forward(11_000)
    expect_image(maria, "shapes/000.png")


def test_leases_are_renewed_while_somebody_works_and_run_out_when_nobody_does(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes", clock=True)
    expect_image(page, "shapes/000.png")
    with page.expect_response(lambda response: response.url.endswith("/leases")) as renewal:
        page.clock.fast_forward("07:30")
    renewal.value.finished()
    page.wait_for_timeout(100)
    page.clock.fast_forward("30:00")
    shapes = portal.projects["shapes"]
    shapes.leases = {task: ("ben", lease[1]) for task, lease in shapes.leases.items()}
    page.wait_for_timeout(200)
    assert sum(method == "POST" for method, _, _ in portal.requests) == 2
    page.keyboard.press("z")
    notice(page, "The image you were looking at went to another worker.")
    expect_image(page, "shapes/006.png")


def test_an_image_that_does_not_load_can_be_tried_again(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    portal.broken_images = {"shapes/000.png"}
    page = open_page(portal, "#/projects/shapes")
    expect(page.get_by_role("heading", name="This image does not load")).to_be_visible()
    page.keyboard.press("1")
    assert unsent(page) == 0
    portal.broken_images = set()
    page.keyboard.press("r")
    expect_image(page, "shapes/000.png")
    assert portal.annotations() == []


def test_an_image_that_does_not_load_can_be_skipped(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    portal.broken_images = {"shapes/000.png", "shapes/002.png"}
    page = open_page(portal, "#/projects/shapes")
    page.get_by_role("button", name="Skip it").click()
    page.get_by_role("button", name="Image does not load").click()
    expect_image(page, "shapes/001.png")
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="This image does not load")).to_be_visible()
    expect_all_sent(page)
    assert portal.annotations() == [{"skip": "Image does not load"}, {"label": "circle"}]


def test_without_storage_answers_are_sent_all_the_same(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.evaluate("localStorage.setItem('filler', 'x'.repeat(5 * 1024 * 1024 - 6))")
    page.keyboard.press("1")
    page.keyboard.press("2")
    expect_image(page, "shapes/002.png")
    wait_for_requests(page, portal, "PUT", 2)
    assert portal.projects["shapes"].answered_labels()[:2] == ["circle", "square"]
