/** `arq room watch --values` against a real bus: what is there, what becomes of it, as text and as JSON. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { startArq } from "../../testing/run_arq.ts";

const COUNTER = new URL("../../../policies/build/reducers/counter.wasm", import.meta.url).pathname;
const CONFIG = `
[server]
host = "127.0.0.1"
port = 0
drain_ms = 0
[ops]
host = "127.0.0.1"
[[reducers]]
name = "counter"
file = "${COUNTER}"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
reducer_visible = ["total", "user/"]
`;
const request_timeout_ms = 60_000;

Deno.test("values of a room are printed, then what becomes of them", async () => {
  await using bus = await startBusWith(CONFIG);
  const token = await bus.tokenFor({ user: "root", role: "admin" });
  await using root = await connect({ url: bus.url, token, request_timeout_ms });
  const counter = reduced<{ add: [number, number]; reset: [undefined, null] }>(
    root.room("count-1"),
  );
  await counter.call("add", 5);
  const at = ["--url", bus.url, "--token", token];
  const watch = async (...options: string[]) =>
    await startArq(["room", "watch", "count-1", "--values", ...options, ...at]);
  const text = await watch("--count", "2");
  await text.says("Watching values of count-1, as of entry 1");
  await counter.call("add", 2);
  const { code, stdout, stderr } = await text.result();
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split("\n").sort(), [
    ...["= total 5", "= user/root 5"],
    ...["~ 2 total 7", "~ 2 user/root 7"],
  ]);
  const json = await watch("--prefix", "user/", "--count", "1", "--json");
  await json.says("Watching values of count-1, as of entry 2");
  await counter.call("reset");
  const lines = (await json.result()).stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ change, version, key, value }) => [change, version, key, value]), [
    ["value", 2, "user/root", "7"],
    ["delete", 3, "user/root", null],
  ]);
});
