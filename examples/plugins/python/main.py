"""A complete plugin with three blocks: a pure one, one that streams, and one that asks the server for a page."""
import re

import patchbay

plugin = patchbay.Plugin("python", "1.0.0", "An example in Python")


@plugin.block(
    id="6a2f3f0e-5f1b-4c55-9a37-6a0a1d9d4b01", name="Shout", categories=["TEXT"], pure=True,
    description="Says it in capitals.",
    input={"text": {"type": "string", "description": "What is said"}, "times": {"type": "integer", "default": 1, "minimum": 1, "maximum": 1000}},
    required=["text"],
    output={"shouted": {"type": "string", "description": "The same in capitals, as often as wanted"}},
    examples=[({"text": "hi"}, {"shouted": ["HI!"]}), ({"text": "ho", "times": 3}, {"shouted": ["HO!", "HO!", "HO!"]})],
)
def shout(run, input):
    for _ in range(input["times"]):
        run.emit("shouted", input["text"].upper() + "!")


@plugin.block(
    id="6a2f3f0e-5f1b-4c55-9a37-6a0a1d9d4b02", name="Count Down Slowly", categories=["BASIC"], streaming=True,
    description="Counts down, a number every so often.",
    input={"from": {"type": "integer", "minimum": 1}, "pause": {"type": "number", "default": 1, "description": "Seconds"}},
    required=["from"],
    output={"number": {"type": "integer"}},
    examples=[({"from": 3, "pause": 0}, {"number": [3, 2, 1]})],
)
def count_down(run, input):
    # An attempt that was cut off has left its outputs: this one puts them out again, which nobody sees twice, and goes on.
    for output in run.recorded:
        run.emit(output.pin, output.value)
    for number in range(input["from"] - len(run.recorded), 0, -1):
        run.progress(f"{number} to go")
        run.emit("number", number)
        run.wait(input["pause"])


@plugin.block(
    id="6a2f3f0e-5f1b-4c55-9a37-6a0a1d9d4b03", name="Title of a Page", categories=["SEARCH"],
    description="Finds the title of a web page.",
    input={"url": {"type": "string", "format": "uri"}}, required=["url"],
    output={"title": {"type": "string"}},
)
def title(run, input):
    status, _, body = run.request(input["url"])
    if status >= 400:
        kind = patchbay.TEMPORARY if status >= 500 else patchbay.INVALID_INPUT
        raise patchbay.Error(f"the page answered {status}", kind)
    found = re.search(r"<title[^>]*>(.*?)</title>", body.decode("utf-8", "replace"), re.IGNORECASE | re.DOTALL)
    run.count("pages")
    run.emit("title", found.group(1).strip() if found else "")


if __name__ == "__main__":
    plugin.serve()
