"""The layout of the page for people in a real browser: it fits a narrow window, and its bars can be compared."""

import base64
import hashlib
import html
import http.server
import json
import re
import threading
from contextlib import contextmanager
from importlib import resources

import pytest
from browser import needs_browser, shown_page

PAGE = resources.files("ramen.serve").joinpath("page.html").read_text(encoding="utf-8")
WORD = "w" * 5000

pytestmark = [pytest.mark.slow, needs_browser]

# Opens the page in a narrow frame of its own origin and writes what it measures there as text.
FRAME = """<!doctype html><title>frame</title>
<iframe id="page" src="/?text=a" width="%d" height="900" style="border:0"></iframe><pre id="measured"></pre>
<script>
const inside = () => document.getElementById("page").contentDocument;
const measure = () => {
  const shown = inside() && inside().querySelectorAll("article").length;
  if (!shown) return setTimeout(measure, 50);
  const bars = [...inside().querySelectorAll(".bar")].map(bar => {
    const box = element => element.getBoundingClientRect();
    const parts = [...bar.querySelectorAll("[data-part]")];
    return { segments: parts.map(part => [Number(part.dataset.part), box(part).width]),
             colours: parts.map(part => part.style.background),
             sum: box(bar.querySelector(".sum")).left - box(bar).left };
  });
  document.getElementById("measured").textContent = JSON.stringify({
    inner: document.getElementById("page").contentWindow.innerWidth,
    scroll: inside().documentElement.scrollWidth, bars, legend: inside().getElementById("legend").textContent,
    swatches: [...inside().querySelectorAll("#legend .swatch")].map(swatch => swatch.style.background) });
};
measure();
</script>"""


def label(uid, scorers, words=(), neighbours=()):
    why = {"scorers": scorers, "words": list(words), "neighbours": list(neighbours)}
    return {"uid": uid, "text": uid, "score": sum(scorers.values()), "probability": 0.5, "why": why}


LABELS = [  # best first: the second has the larger single term, which made its bar the longest
    label("best", {"dense": 4.0, "sparse": 3.0, "words": 0.5}),
    label("second", {"dense": 6.0, "sparse": 0.5, "words": -2.0}),
    label("third", {"sparse": 1.0, "words": 0.25, "dense": -0.5}),
]
LONG = [
    label(WORD, {"dense": 1.0, WORD: 0.5}, [{"word": WORD, "weight": 1.0}], [{"text": WORD, "share": 0.5}])
    | {"text": WORD * 2},
    label("empty text", {"dense": 0.5}) | {"text": ""},
]
LONG[0]["why"]["notes"] = {"reason": WORD}


def policy():
    """The header that lets the page's one script and one style run, and nothing else."""
    sources = []
    for tag in ("script", "style"):
        (block,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        sources.append(f"{tag}-src 'sha256-{digest}'")
    return "; ".join(["default-src 'none'", "connect-src 'self'", *sources])


@contextmanager
def service(labels, run, width):
    """The page with these answers, and ``/frame`` around it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, text, kind, **headers):
            self.send_response(200)
            for name, value in {"Content-Type": f"{kind}; charset=utf-8", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self):
            if self.path == "/healthz":
                self.answer(json.dumps({"run": run, "labels": 120}), "application/json")
            elif self.path == "/frame":
                self.answer(FRAME % width, "text/html")
            else:
                self.answer(PAGE, "text/html", Content_Security_Policy=policy())

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(json.dumps({"results": [{"labels": labels}]}), "application/json")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def measured(tmp_path, labels, run="a run", width=400):
    with service(labels, run, width) as url:
        page = shown_page(f"{url}/frame", tmp_path)
    return json.loads(html.unescape(page.partition('<pre id="measured">')[2].partition("</pre>")[0]))


@pytest.mark.parametrize("width", [360, 400])
def test_nothing_is_wider_than_a_narrow_window(tmp_path, width):
    found = measured(tmp_path, LONG, run=WORD, width=width)
    assert found["inner"] == width and found["scroll"] <= width


def test_all_bars_of_a_text_have_one_scale(tmp_path):
    bars = measured(tmp_path, LABELS)["bars"]
    widths = [width / abs(part) for bar in bars for part, width in bar["segments"]]
    assert min(widths) > 0 and max(widths) == pytest.approx(min(widths), rel=0.02)
    sums = [bar["sum"] for bar in bars]
    assert sums == sorted(sums, reverse=True) and len(set(sums)) == 3
    assert sums[0] - sums[1] == pytest.approx(3.0 * widths[0], rel=0.02)  # scores 7.5 and 4.5
    positive = [sum(width for part, width in bar["segments"] if part > 0) for bar in bars]
    assert positive[0] > positive[1] > positive[2]


def test_the_legend_names_the_colour_of_each_scorer(tmp_path):
    found = measured(tmp_path, LABELS)
    assert all(name in found["legend"] for name in ("dense", "sparse", "words", "against", "same scale"))
    assert found["swatches"] == found["bars"][0]["colours"] and len(set(found["swatches"])) == 3
    assert found["bars"][2]["colours"] == [found["swatches"][number] for number in (1, 2, 0)]


def test_the_page_needs_no_unsafe_inline():
    assert len(re.findall(r"<script\b", PAGE)) == len(re.findall(r"<style\b", PAGE)) == 1
    assert not re.search(r"""<[^>]*\s(on\w+|style)\s*=""", PAGE.partition("<script>")[0])
    assert not re.search(r"""setAttribute\(["']style|https?://|innerHTML|\bsrc=""", PAGE)
