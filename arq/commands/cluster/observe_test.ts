/** `arq status --watch`, `arq top` and `arq tail` against a real bus. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { startBus } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";

const at = (bus: TestBus, token: string) => ["--admin-url", bus.admin_url, "--token", token];

async function tailed(bus: TestBus, admin: string): Promise<void> {
  const tail = await startArq(["tail", "lobby", "--count", "2", ...at(bus, admin)]);
  const json = await startArq(["tail", "lobby", "--count", "1", "--json", ...at(bus, admin)]);
  await Promise.all([tail, json].map((one) => one.says("Tailing lobby of tenant default")));
  const client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("lobby");
  await room.publish("chat", { hello: "\u001b[31mred" });
  await room.publish("chat", "plain text");
  const lines = (await tail.result()).stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^20\S+Z chat \S+ \{"hello":"\\u001b\[31mred"\}$/);
  assert.match(lines[1] ?? "", /^20\S+Z chat \S+ "?plain text"?$/);
  const { stdout } = await json.result();
  const { room: name, data, size_bytes } = JSON.parse(stdout);
  assert.deepEqual([name, data], ["lobby", { hello: "\u001b[31mred" }]);
  assert.ok(size_bytes > 20);
  await client.close();
}

/** Shield and Brain of a development bus: its memory stands there once, and in the sum. */
function assertOneProcess(text: string): void {
  const lines = text.split("\n").map((line) => line.trim());
  const memory = lines.flatMap((line) =>
    /^(shield|brain|total) .* (\d+) MB(?: |$)/.exec(line)?.slice(1) ?? []
  );
  assert.deepEqual([memory[0], memory[2], memory.length], ["shield", "total", 4], text);
  assert.equal(memory[1], memory[3], text);
  assert.match(text, /^ *brain \S+ +ready .* shared +shared +shared /m);
  assert.match(text, /^ *total +1 process /m);
  assert.match(text, /^ *brain (\S+): one process with shield \S+$/m);
}

async function topped(bus: TestBus, admin: string): Promise<void> {
  const options = ["--count", "1", "--interval", "0.2", ...at(bus, admin)];
  const people = await runArq(["top", ...options]);
  assert.equal(people.code, 0, people.stderr);
  assert.match(people.stdout, /^node +state +conns/m);
  assert.match(people.stdout, /^shield \S+ +ready /m);
  assert.match(people.stdout, /^brain \S+ +ready /m);
  assertOneProcess(people.stdout);
  assert.match(people.stdout, /^tenant +conns +rooms/m);
  assert.match(people.stdout, /^default /m);
  assert.ok(!people.stdout.includes("\u001b"), "a pipe gets text only");
  const { nodes, tenants } = JSON.parse((await runArq(["top", "--json", ...options])).stdout);
  assert.deepEqual(nodes.map(({ kind }: { kind: string }) => kind), ["shield", "brain"]);
  assert.match(nodes[0].process_id, /^[0-9a-f-]{36}$/);
  assert.equal(nodes[0].process_id, nodes[1].process_id);
  assert.equal(tenants[0].tenant_id, "default");
  assert.equal(typeof nodes[0].rates.cpu, "number");
}

async function watched(bus: TestBus, admin: string): Promise<void> {
  const source = ["--ops-url", bus.ops_url, ...at(bus, admin)];
  const { code, stdout } = await runArq(["status", ...source]);
  assert.equal(code, 0);
  assert.match(stdout, /^cluster {2}http/m);
  assert.match(stdout, /^ {2}shield \S+ +ready /m);
  assertOneProcess(stdout);
  const watch = await startArq(["status", "--watch", "0.1", "--json", ...source]);
  const reader = watch.child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (text.split("\n").length < 3) text += (await reader.read()).value ?? assert.fail(text);
  const [first] = text.split("\n");
  assert.equal(JSON.parse(first ?? "").cluster.nodes.length, 2);
  watch.child.kill("SIGINT");
  assert.equal((await watch.child.status).code, 130);
  await reader.cancel();
}

async function refused(bus: TestBus): Promise<void> {
  const user = await runArq(["top", "--count", "1", ...at(bus, bus.token)]);
  assert.equal(user.code, 3);
  const tail = await runArq(["tail", "lobby", ...at(bus, bus.token)]);
  assert.equal(tail.code, 3);
  const room = await runArq(["tail", "no room"]);
  assert.equal(room.code, 2);
  const nobody = await runArq(["top", "--admin-url", "http://127.0.0.1:1", "--token", bus.token]);
  assert.equal(nobody.code, 4);
}

Deno.test("status, top and tail show a running bus to its operator, and nobody else", async (t) => {
  await using bus = await startBus();
  const admin = await bus.tokenFor({ role: "admin" });
  await t.step(
    "tail shows what is published, as text that drives no terminal",
    () => tailed(bus, admin),
  );
  await t.step("top shows nodes and tenants, for people and as JSON", () => topped(bus, admin));
  await t.step("status has every node, and watches until Ctrl-C", () => watched(bus, admin));
  await t.step(
    "no admin, no room of that name, nobody there: each its exit code",
    () => refused(bus),
  );
});
