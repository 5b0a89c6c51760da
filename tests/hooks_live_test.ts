/**
 * `[[hooks]]` and the allowed addresses, changed in the file of a running bus: a new hook is called from then on, a
 * changed one continues at its position, a removed one is no longer called, and nobody is disconnected.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startBus } from "./harness/bus.ts";
import { hookTable, Receiver, SECRET } from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const BASE = `
[admin]
operator_tenants = ["*"]
${durableRooms("o-*")}
`;
const webhooks = (lines: string) => `[webhooks]\n#constant webhooks.survey_ms = 200\n${lines}\n`;
const OPEN = webhooks('private_hosts = ["127.0.0.1"]');
const BACKOFF = "#constant webhooks.backoff_ms = 10\n#constant webhooks.backoff_max_ms = 50\n";
const hook = (url: string, lines = "") => hookTable("h", url, `room = "o-*"\n${BACKOFF}${lines}`);

async function startLive() {
  const file = await Deno.makeTempFile({ suffix: ".toml" });
  await Deno.writeTextFile(file, BASE + webhooks(""));
  const bus = await startBus(["--config", file]);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  let sent = 0;
  return {
    bus,
    admin,
    async reload(text: string) {
      await Deno.writeTextFile(file, BASE + text);
      const { status, body } = await admin.call("POST", "config/reload", {});
      assert.equal(status, 200, JSON.stringify(body));
      const [{ problem, needs_restart, changed }] = body.configs;
      assert.deepEqual([problem, needs_restart], [null, []]);
      return (changed as string[]).toSorted();
    },
    async publish(): Promise<number> {
      const data = { n: sent++ };
      const { status } = await client.call("POST", "rooms/o-1/messages", { type: "t", data });
      return status;
    },
    async hook() {
      return (await admin.call("GET", "tenants/default/hooks/h")).body;
    },
    async [Symbol.asyncDispose]() {
      await bus[Symbol.asyncDispose]();
      await Deno.remove(file);
    },
  };
}

const numbersOf = ({ taken }: Receiver) => taken.map(({ body }) => body.data.message?.data.n);

Deno.test("a hook added to the file is called, a changed one continues at its position, and a removed one is not called", async () => {
  await using receiver = new Receiver();
  await using other = new Receiver();
  await using live = await startLive();
  using client = await openText(live.bus.url, live.bus.token);
  assert.equal((await live.hook()).reason, "not-found");
  assert.deepEqual(await live.reload(OPEN + hook(receiver.url)), [
    "hooks",
    "webhooks.private_hosts",
  ]);
  await until("a Brain has it", async () => (await live.hook()).hook?.since != null);
  await live.publish();
  await until("it is called", () => receiver.taken.length === 1);
  await receiver.stop();
  await live.publish();
  assert.deepEqual(await live.reload(OPEN + hook(other.url)), ["hooks"]);
  await until("the other one has the refused events", () => other.taken.length === 1);
  assert.deepEqual([numbersOf(receiver), numbersOf(other)], [[0], [1]]);
  assert.deepEqual(await live.reload(OPEN), ["hooks"]);
  await live.publish();
  assert.equal((await live.hook()).reason, "not-found");
  // It was removed: it gets the messages of the meantime now, so the hook above was not called for them.
  await live.reload(OPEN + hook(other.url));
  await until("it continues", () => other.taken.length === 2);
  assert.deepEqual(numbersOf(other), [1, 2]);
  await ask(client, { op: "sub", room: "alive" });
});

Deno.test("a before hook is called from the change on, and no longer without it", async () => {
  await using receiver = new Receiver();
  receiver.answer = () => Response.json({ allow: false });
  await using live = await startLive();
  assert.equal(await live.publish(), 200);
  const asked = hook(receiver.url, 'events = []\nbefore = ["publish"]\ntimeout_ms = 60_000');
  await live.reload(OPEN + asked);
  assert.equal(await live.publish(), 403);
  await live.reload(OPEN);
  assert.equal(await live.publish(), 200);
});

Deno.test("where hooks may be called, and how many a tenant may set, holds from the change on", async () => {
  await using receiver = new Receiver();
  await using live = await startLive();
  const problem = async () =>
    (await live.admin.call("POST", "tenants/default/hooks/h/test")).body.problem;
  const put = async (id: string) =>
    await live.admin.call("PUT", `tenants/default/hooks/${id}`, {
      url: receiver.url,
      secret: SECRET,
      events: ["member.left"],
    });
  await live.reload(webhooks("tenant_hooks = 0"));
  assert.equal((await put("h")).body.reason, "settings-conflict");
  await live.reload(webhooks("tenant_hooks = 1"));
  assert.equal((await put("h")).status, 200);
  assert.match(await problem(), /not in \[webhooks\] private_hosts/);
  await live.reload(webhooks('tenant_hooks = 1\ntenant_private_hosts = ["127.0.0.1"]'));
  assert.equal(await problem(), "");
  await live.reload(webhooks("tenant_hooks = 1"));
  assert.notEqual(await problem(), "");
  // If two have the same name, the one in the configuration wins.
  await live.reload(webhooks("") + hook(receiver.url));
  assert.notEqual(await problem(), "");
  await live.reload(OPEN + hook(receiver.url));
  assert.equal(await problem(), "");
});
