import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, OpenPage, Serve, expect_all_sent, expect_image
from tests.browser.portal_stub import StubProject, plain_image, plain_project

LABELS = ["circle", "square", "triangle"]


def test_a_batch_is_labeled_by_keyboard_alone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=9))
    page = open_page(portal, worker=None)
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("maria")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    start = page.get_by_role("link", name="Start labeling shapes")
    while not start.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for task in range(9):
        expect_image(page, f"shapes/{task:03}.png")
        page.keyboard.press(str(task % 3 + 1))
    expect(page.get_by_role("heading", name="All done: 9 images labeled by you")).to_be_visible()
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels() == LABELS * 3
    assert len(portal.annotations()) == 9


def test_a_batch_is_labeled_with_the_mouse(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=4))
    page = open_page(portal, "#/projects/shapes")
    for task, label in enumerate(["square", "circle", "triangle", "circle"]):
        expect_image(page, f"shapes/{task:03}.png")
        page.get_by_role("button", name=label).click()
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels() == ["square", "circle", "triangle", "circle"]


def test_a_batch_is_labeled_by_touch_on_a_phone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=3))
    page = open_page(portal, "#/projects/shapes", **PHONE)
    for task in range(3):
        expect_image(page, f"shapes/{task:03}.png")
        page.get_by_role("button", name=LABELS[task]).tap()
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels() == LABELS


def test_a_task_that_the_page_has_no_element_for_is_said(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(task="semantic-segmentation"))
    page = open_page(portal, "#/projects/shapes")
    expect(page.get_by_role("heading", name="Not on this page")).to_be_visible()
    expect(page.get_by_text("This project is for semantic-segmentation")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("u")
    page.get_by_role("link", name="All projects", exact=True).click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
    assert portal.annotations() == []


def test_on_a_phone_everything_fits_and_can_be_hit(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(labels=list("0123456789")))
    page = open_page(portal, "#/projects/shapes", **PHONE)
    expect_image(page, "shapes/000.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.documentElement.scrollHeight") <= 844
    targets = page.locator(
        "main button:visible, main summary:visible, header button:visible, header a:visible"
    )
    for box in [target.bounding_box() for target in targets.all()]:
        assert box is not None
        assert box["height"] >= 44
        assert box["width"] >= 44
    image = page.locator("loupe-stage img").bounding_box()
    assert image is not None
    assert image["width"] >= 340


def test_the_next_image_is_on_screen_before_the_server_has_answered(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    with portal.holding_annotations():
        for task in range(3):
            page.keyboard.press("1")
            expect_image(page, f"shapes/{task + 1:03}.png")
        expect(page.locator(".work-bar .figures")).to_have_text("3 of 12")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:4] == ["circle"] * 3 + [None]


def test_answers_are_sent_in_order_and_bring_the_next_tasks(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=30))
    page = open_page(portal, "#/projects/shapes")
    for task in range(12):
        expect_image(page, f"shapes/{task:03}.png")
        page.keyboard.press("2")
    expect_all_sent(page)
    tasks = [path.split("/")[5] for method, path, _ in portal.requests if method == "PUT"]
    assert tasks == [f"{task:06}" for task in range(12)]
    assert [body for method, _, body in portal.requests if method == "POST"] == [{"count": 6}]
    assert len(portal.projects["shapes"].leases) >= 5


def test_undo_goes_back_and_corrects(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    page.keyboard.press("2")
    expect_image(page, "shapes/002.png")
    page.keyboard.press("u")
    expect_image(page, "shapes/001.png")
    expect(page.get_by_role("button", name="square")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Control+z")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("3")
    expect_image(page, "shapes/002.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:3] == ["triangle", "square", None]
    expect(page.locator(".mine")).to_have_text("2 by you")
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Your answer: square")).to_be_visible()
    page.keyboard.press("Escape")
    expect_image(page, "shapes/002.png")
    assert len(portal.annotations()) == 3


def test_undo_reaches_back_over_a_reload_and_after_the_last_image(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=2))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    page.reload()
    expect_image(page, "shapes/001.png")
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="All done: 2 images")).to_be_visible()
    page.get_by_role("button", name="Correct my last answer").click()
    expect_image(page, "shapes/001.png")
    page.keyboard.press("u")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("3")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels() == ["triangle", "circle"]


def test_an_image_is_skipped_with_a_reason(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Why skip this image?")).to_be_visible()
    page.keyboard.press("2")
    expect_image(page, "shapes/001.png")
    page.get_by_role("button", name="Skip").click()
    page.get_by_label("Another reason").fill("a <b>hand</b> in front of it")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/002.png")
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect_image(page, "shapes/002.png")
    expect_all_sent(page)
    assert portal.annotations() == [
        {"skip": "Nothing to label in it"},
        {"skip": "a <b>hand</b> in front of it"},
    ]


def test_number_keys_do_not_answer_while_a_dialog_is_open(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Skip the image and say why")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect_image(page, "shapes/000.png")
    assert portal.annotations() == []


def test_holding_a_key_down_answers_once(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    for _ in range(4):
        page.keyboard.down("1")
    page.keyboard.up("1")
    expect_image(page, "shapes/001.png")
    expect_all_sent(page)
    assert len(portal.annotations()) == 1


@pytest.mark.parametrize(
    ("labels", "key", "label"),
    [
        ([f"kind {number}" for number in range(1, 11)], "0", "kind 10"),
        (list("0123456789"), "7", "7"),
        (["3", "1"], "3", "3"),
    ],
    ids=["tenth label", "labels that are digits", "some digits"],
)
def test_number_keys_pick_labels(
    serve: Serve, open_page: OpenPage, labels: list[str], key: str, label: str
) -> None:
    portal = serve(plain_project(labels=labels))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press(key)
    expect_image(page, "shapes/001.png")
    expect_all_sent(page)
    assert portal.annotations() == [{"label": label}]


def test_more_than_ten_labels_are_found_by_typing(serve: Serve, open_page: OpenPage) -> None:
    labels = [
        f"{colour} {fruit}"
        for colour in ("red", "green", "blue", "gold")
        for fruit in ("fig", "Pêche", "plum")
    ]
    portal = serve(plain_project(labels=labels))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("Enter")
    page.keyboard.type("blue pec")
    expect(page.get_by_role("option")).to_have_text(["blue Pêche"])
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    page.keyboard.type("plum")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/002.png")
    page.keyboard.type("kiwi")
    expect(page.get_by_text("No label has these letters.")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.press("Backspace")
    expect_image(page, "shapes/002.png")
    page.keyboard.press("Backspace")
    expect_image(page, "shapes/001.png")
    page.get_by_role("option", name="gold fig").click()
    expect_image(page, "shapes/002.png")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("1")
    expect_image(page, "shapes/003.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered_labels()[:3] == ["blue Pêche", "gold fig", None]


def test_html_in_names_shows_as_text(serve: Serve, open_page: OpenPage) -> None:
    evil = "<img src=x onerror=\"document.title='broken'\">"
    labels = [evil, "<b>bold</b>", "a & b"]
    images = [plain_image(80, f"shapes/{evil} 1.png"), plain_image(90, "shapes/a+b %41 \"'#?.png")]
    portal = serve(StubProject("shapes", labels, images, instructions=f"Read <script>this</script> {evil}"))
    page = open_page(portal)
    expect(page.locator(".excerpt")).to_contain_text("<script>this</script>")
    page.get_by_role("link", name="Start labeling shapes").click()
    expect_image(page, f"shapes/{evil} 1.png")
    expect(page.locator(".label-name")).to_have_text(labels)
    expect(page.locator(".instructions p")).to_contain_text(f"<script>this</script> {evil}")
    expect(page.locator(".file-name")).to_have_text(f"shapes/{evil} 1.png")
    page.keyboard.press("2")
    expect_image(page, "shapes/a+b %41 \"'#?.png")
    page.keyboard.press("u")
    expect(page.get_by_text("Your answer: <b>bold</b>")).to_be_visible()
    page.keyboard.press("1")
    expect_all_sent(page)
    assert page.title() == "shapes · Loupe"
    assert portal.projects["shapes"].answered_labels() == [evil, None]


def test_examples_stand_beside_the_image_and_are_enlarged(serve: Serve, open_page: OpenPage) -> None:
    file, evil = "shapes/instructions/dent.png", "<b>Only</b> the rim"
    examples = [{"file": file, "label": "circle", "caption": evil}, {"file": file}]
    portal = serve(plain_project(examples=examples, instructions=""))
    portal.files[file] = plain_image(200, file, (640, 480)).content
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    entries = page.get_by_role("list", name="Examples").get_by_role("button")
    expect(entries).to_have_text([f"circle{evil}", ""])
    entries.first.click()
    dialog = page.get_by_role("dialog", name="circle")
    expect(dialog.get_by_role("img", name=evil)).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect_image(page, "shapes/000.png")
    assert portal.annotations() == []


@pytest.mark.parametrize(("width", "height"), [(16, 16), (64, 48), (3000, 400), (500, 4000)])
def test_an_image_of_any_size_fills_the_stage_and_keeps_its_shape(
    serve: Serve, open_page: OpenPage, width: int, height: int
) -> None:
    portal = serve(StubProject("shapes", LABELS, [plain_image(90, "shapes/a.png", (width, height))]))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/a.png")
    image = page.locator("loupe-stage img").bounding_box()
    space = page.locator(".stage-view").bounding_box()
    assert image is not None
    assert space is not None
    assert image["width"] / image["height"] == pytest.approx(width / height, rel=0.02)
    assert image["width"] == pytest.approx(space["width"], abs=1) or image["height"] == pytest.approx(
        space["height"], abs=1
    )
    assert image["height"] <= space["height"] + 1


def test_zooming_by_key_and_wheel_does_not_last_to_the_next_image(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    stage = page.locator("loupe-stage")
    page.keyboard.press("z")
    expect(stage).to_have_class("zoomed")
    page.keyboard.press("z")
    expect(stage).not_to_have_class("zoomed")
    stage.hover()
    page.mouse.wheel(0, -300)
    expect(stage).to_have_class("zoomed")
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    expect(stage).not_to_have_class("zoomed")


def test_leaving_the_project_gives_its_tasks_back(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    assert len(portal.projects["shapes"].leases) == 6
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.get_by_role("link", name="Loupe, all projects").click()
    assert portal.projects["shapes"].leases == {}
