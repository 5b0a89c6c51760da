/** `arq room list` on a real bus: rooms that somebody hears, and stored ones where nobody is, page by page. */
import assert from "node:assert/strict";
import { runArq } from "../../arq/testing/run_arq.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { ask, openText } from "../peers/raw_client.ts";

const COUNTER = new URL("../../policies/build/reducers/counter.wasm", import.meta.url).pathname;
const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[admin]
host = "127.0.0.1"
operator_tenants = ["default"]
[[rooms]]
room = "log-*"
durable = true
[[reducers]]
name = "counter"
file = "${COUNTER}"
[[rooms]]
room = "sum-*"
durable = true
reducer = "counter"
`;

Deno.test("arq room list prints who is heard, and with --stored what is kept where nobody is", async () => {
  await using bus = await startLocalBus(CONFIG);
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  for (const room of ["log-b", "log-a", "plain", "log-c"]) {
    await ask(ann, { op: "pub", room, type: "t", data: 1 });
  }
  const call = { op: "cmd", room: "sum-a", name: "room.call", data: { command: "add", data: 1 } };
  await ask(ann, call);
  await ask(ann, { op: "sub", room: "plain" });
  using eve = await openText(bus.url, await bus.tokenFor({ user: "eve", tenant: "acme" }));
  await ask(eve, { op: "pub", room: "log-theirs", type: "t", data: 1 });
  const token = await bus.tokenFor({ role: "admin" });
  const list = async (...flags: string[]) => {
    const at = ["--admin-url", bus.admin_url, "--token", token];
    const { code, stdout, stderr } = await runArq(["room", "list", ...flags, ...at]);
    assert.equal(code, 0, stderr);
    return [stdout, stderr];
  };
  assert.deepEqual(await list(), ["plain 1 subscriber\n", "tenant default: 1 room\n"]);
  assert.deepEqual(await list("--stored"), [
    "log-a\nlog-b\nlog-c\nsum-a\n",
    "tenant default: 4 rooms\n",
  ]);
  assert.deepEqual(await list("--stored", "--prefix", "log-", "--limit", "2"), [
    "log-a\nlog-b\n",
    "tenant default: 2 rooms; there are more: --behind log-b\n",
  ]);
  assert.deepEqual(await list("--behind", "log-b", "--prefix", "log-"), [
    "log-c\n",
    "tenant default: 1 room\n",
  ]);
  const [text] = await list("--stored", "--tenant", "acme", "--json");
  assert.deepEqual(JSON.parse(String(text)), { tenant_id: "acme", room_id: "log-theirs" });
  const other = await bus.tokenFor({ role: "admin", tenant: "acme" });
  const foreign = ["--stored", "--tenant", "default", "--token", other];
  const refused = await runArq(["room", "list", ...foreign, "--admin-url", bus.admin_url]);
  assert.deepEqual([refused.code, refused.stdout], [3, ""], refused.stderr);
});
