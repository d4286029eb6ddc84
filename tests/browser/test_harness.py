"""What the other browser tests rely on: which errors count, and a page for every test."""

import harness
import pytest

REMOVED = ("NotFoundError: Failed to execute 'removeChild' on 'Node': "
           "The node to be removed is not a child of this node.")
LAB = "http://127.0.0.1:54867/static/lab/jlab_core.29ddc1.js?v=29ddc1:13664:84885"
EXTENSION = "http://127.0.0.1:54867/lab/extensions/@jupyter-widgets/jupyterlab-manager/static/61.js:1:55"
WIDGET = "blob:http://127.0.0.1:54867/ca89d792-c4fe-4a71-a614-c9cbaf4c2e26:1:27"
TEST = "eval (eval at evaluate (:370:30), <anonymous>:1:42)"


def error(*frames, message=REMOVED):
    return "\n    at ".join([message, *frames])


@pytest.mark.parametrize("message", [
    error(f"mj ({LAB})", f"Object.flush [as x] ({LAB})", LAB),
    error(LAB, "Array.forEach (<anonymous>)", f"async Panel.close ({EXTENSION})"),
    error(f"e ({LAB})", message=REMOVED.replace("removeChild", "insertBefore")),
    "Canceled future for execute_request message before replies were done",
    "[anywidget] Failed to initialize model",
    error(EXTENSION, message="Error: [anywidget] Failed to initialize model."),
])
def test_jupyterlabs_own_errors_are_noise(message):
    assert harness.is_noise(message)


@pytest.mark.parametrize("message", [
    error(f"draw ({WIDGET})"),
    error(f"mj ({LAB})", f"draw ({WIDGET})"),
    error(WIDGET, f"mj ({LAB})"),
    error(TEST, f"mj ({LAB})"),
    error(f"mj ({LAB})", f"draw ({LAB.replace('/static/lab/', '/files/')})"),
    error("Array.forEach (<anonymous>)"),
    error(),
    error(f"e ({LAB})", message="TypeError: Cannot read properties of null (reading 'removeChild')"),
    error(f"draw ({WIDGET})", message="Error: Failed to initialize model."),
    error(f"e ({LAB})", message="NotFoundError: Failed to execute 'transaction' on 'IDBDatabase'"),
    f"the widget says: {error(f'mj ({LAB})')}",
])
def test_all_other_errors_count(message):
    assert not harness.is_noise(message)


@pytest.mark.browser
def test_an_error_in_the_page_is_kept_with_the_place_it_comes_from(page):
    page.evaluate("""async () => {
        const source = "export const trip = () => document.body.removeChild(document.createElement('p'));";
        const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        setTimeout(module.trip, 0);
    }""")
    harness.next_frame(page)
    page.wait_for_function("true")
    assert [message.split("\n")[0] for message in page.errors] == [REMOVED]
    assert "at trip (blob:" in page.errors.pop()


@pytest.mark.browser
def test_a_page_that_crashed_or_is_used_up_is_followed_by_a_fresh_one(pages, monkeypatch):
    monkeypatch.setattr(harness, "TESTS_PER_PAGE", pages.tests + 10)      # its turn must not come by chance
    first = pages.take()
    assert pages.take() is first
    first.crashed = True                     # what the page's "crash" event sets; a real crash may hang a test run
    second = pages.take()
    assert second is not first and first.is_closed() and second.evaluate("1") == 1
    monkeypatch.setattr(harness, "TESTS_PER_PAGE", pages.tests)
    assert pages.take().evaluate("window.jupyterapp !== undefined")
    assert pages.page is not second and pages.tests == 1
