// A complete plugin with three blocks: a pure one, one that streams, and one that asks the server for a page.
import { Failure, Kind, Plugin } from "./patchbay";

export const plugin = new Plugin("typescript", "1.0.0", "An example in TypeScript");

export const shout = plugin.block({
  id: "b7c1a5de-3c0f-4b8e-8f5d-2f4c8e6d7a01", name: "Shout Loudly", categories: ["TEXT"], pure: true,
  description: "Says it in capitals.",
  input: {
    text: { type: "string", description: "What is said" },
    times: { type: "integer", default: 1, minimum: 1, maximum: 1000 },
  },
  required: ["text"],
  output: { shouted: { type: "string", description: "The same in capitals, as often as wanted" } },
  examples: [
    [{ text: "hi" }, { shouted: ["HI!"] }],
    [{ text: "ho", times: 3 }, { shouted: ["HO!", "HO!", "HO!"] }],
  ],
  async run(run, input: { text: string; times: number }) {
    for (let i = 0; i < input.times; i++) await run.emit("shouted", input.text.toUpperCase() + "!");
  },
});

export const countUp = plugin.block({
  id: "b7c1a5de-3c0f-4b8e-8f5d-2f4c8e6d7a02", name: "Count Up Slowly", categories: ["BASIC"], streaming: true,
  description: "Counts up, a number every so often.",
  input: { to: { type: "integer", minimum: 1 }, pause: { type: "number", default: 1, description: "Seconds" } },
  required: ["to"],
  output: { number: { type: "integer" } },
  examples: [[{ to: 3, pause: 0 }, { number: [1, 2, 3] }]],
  async run(run, input: { to: number; pause: number }) {
    // An attempt that was cut off has left its outputs: this one puts them out again, which nobody sees twice, and goes on.
    for (const { pin, value } of run.recorded) await run.emit(pin, value);
    for (let number = run.recorded.length + 1; number <= input.to; number++) {
      run.progress(`${input.to - number} to go`);
      await run.emit("number", number);
      await run.wait(input.pause * 1000);
    }
  },
});

export const headline = plugin.block({
  id: "b7c1a5de-3c0f-4b8e-8f5d-2f4c8e6d7a03", name: "Headline of a Page", categories: ["SEARCH"],
  description: "Finds the first headline of a web page.",
  input: { url: { type: "string", format: "uri" } }, required: ["url"],
  output: { headline: { type: "string" } },
  async run(run, input: { url: string }) {
    const page = await run.request(input.url);
    if (page.status >= 400) throw new Failure(`the page answered ${page.status}`, page.status >= 500 ? Kind.Temporary : Kind.InvalidInput);
    run.count("pages");
    await run.emit("headline", /<h1[^>]*>(.*?)<\/h1>/is.exec(page.body.toString())?.[1]?.trim() ?? "");
  },
});
