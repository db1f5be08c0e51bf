// Runs an agent of a file and prints what comes out:
//
//   export PATCHBAY_TOKEN=$(bin/patchbay token --user 00000000-0000-4000-8000-000000000001)
//   cd examples/typescript && npm ci && npm run build && npm start -- ../agents/hello-agent.json Name=Ada
import { readFile } from "node:fs/promises";
import { connect } from "./api.js";

const [file, ...pairs] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: npm start -- FILE [NAME=VALUE…]");
const call = connect(process.env.PATCHBAY_URL ?? "http://127.0.0.1:8006", process.env.PATCHBAY_TOKEN ?? "");

const graph = await call("post", "/api/v2/builder/graphs", { body: JSON.parse(await readFile(file, "utf8")) });

const inputs: Record<string, unknown> = {};
for (const pair of pairs) {
  const [name, value] = pair.split(/=(.*)/s);
  if (name === undefined || value === undefined) throw new Error(`${pair} is not NAME=VALUE`);
  try {
    inputs[name] = JSON.parse(value);
  } catch {
    inputs[name] = value; // no JSON is a string
  }
}
const execution = await call("post", "/api/v2/builder/graphs/{graph_id}/execute", {
  path: { graph_id: graph.id },
  headers: { Prefer: "wait=60" },
  body: { input_data: inputs },
});
if (execution.error) throw new Error(execution.error.message);
for (const [name, values] of Object.entries(execution.outputs ?? {})) {
  for (const value of values) console.log(`${name}: ${JSON.stringify(value)}`);
}

const { pagination } = await call("get", "/api/v2/executions", { query: { graph_id: graph.id, status: ["COMPLETED"] } });
console.log(`${pagination.total} execution of ${graph.name} completed`);
