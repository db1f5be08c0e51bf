import assert from "node:assert/strict";
import { test } from "node:test";
import { countUp, headline, plugin, shout } from "./blocks";
import { Failure, Kind, Run } from "./patchbay";

for (const block of plugin.blocks.values())
  for (const [input, expected] of block.examples ?? [])
    test(`${block.name} ${JSON.stringify(input)}`, async () => {
      assert.deepEqual(await plugin.tryRun(block, input), expected);
    });

test("goes on after what an earlier attempt has put out", async () => {
  const recorded = [{ pin: "number", value: Buffer.from("1") }];
  assert.deepEqual(await plugin.tryRun(countUp, { to: 3, pause: 0 }, { recorded }), { number: [1, 2, 3] });
});

test("says that a page cannot be had without a server", async () => {
  await assert.rejects(plugin.tryRun(headline, { url: "http://example.com" }), (e: Failure) => e.kind === Kind.Permanent);
});

test("takes once for granted", async () => {
  assert.deepEqual(await plugin.tryRun(shout, { text: "hey" }), { shouted: ["HEY!"] });
});

test("members are the bytes that were sent", () => {
  const long = '"' + "\\n\\\"x".repeat(1e6) + '\\\\"';
  const input = Buffer.from(` { "a" : 1e400 , "b\\"":{"x":[1,"}"]},"c":"","d":9007199254740993,"e":${long} }`);
  const run = new Run({ run: "1", input, credit: 1, credentials: [], recorded: [], calls: 0 }, () => {});
  const found = Object.entries(run.members()).map(([pin, value]) => [pin, value.toString()]);
  assert.deepEqual(found, [["a", "1e400"], ['b"', '{"x":[1,"}"]}'], ["c", '""'], ["d", "9007199254740993"], ["e", long]]);
});
