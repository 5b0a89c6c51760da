/** A change that hides or deletes stored data is counted by plan, and made only with the explicit option. */
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "../../../tests/harness/local_bus.ts";
import { openText } from "../../../tests/peers/raw_client.ts";
import { until } from "../../../shared/testing/until.ts";
import { asker } from "../../../tests/rollout_traffic.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { localArq } from "../../testing/local_arq.ts";

/** Publishes this many messages to a room. */
async function fill(bus: TestBus, room: string, count: number): Promise<void> {
  const token = await bus.tokenFor({ role: "service" });
  for (let number = 0; number < count; number++) {
    const response = await fetch(`${bus.http_url}/v1/rooms/${room}/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ type: "chat", data: { number } }),
    });
    assert.ok(response.ok, await response.text());
  }
}

const rooms = (...classes: string[]) =>
  `tenant = "default"\n${classes.length === 0 ? "rooms = []\n" : ""}${
    classes.map((one) => `[[rooms]]\n${one}\n`).join("")
  }`;
const KEPT = 'room = "kept-*"\ndurable = true\nhistory_size = 100';

Deno.test("removed or narrowed room classes: plan counts what is lost, apply prompts", async () => {
  await using bus = await startLocalBus('[[rooms]]\nroom = "kept-safe-*"\ndurable = true\n');
  await using folder = await folderWith({
    "all/a.toml": rooms(KEPT),
    "none/a.toml": rooms(),
    "narrow/a.toml": rooms(KEPT.replace("kept-*", "kept-1*")),
    "short/a.toml": rooms(KEPT.replace("100", "2")),
    "wide/a.toml": rooms(KEPT, 'room = "kept-1*"'),
    "longer/a.toml": rooms(KEPT.replace("100", "200")),
  });
  const arq = await localArq(bus, folder.path);
  await arq(0, "apply", "all");
  await fill(bus, "kept-1", 3);
  await fill(bus, "kept-2", 2);
  await fill(bus, "kept-safe-1", 4);
  await arq(2, "plan", "longer");
  const removed = await arq(2, "plan", "none");
  assert.match(removed, /\n {2}- rooms kept-\*\n/);
  assert.match(removed, /\nunreachable: 5 messages in 2 rooms would be stored, and nobody could/);
  assert.match(removed, /\n {2}kept-1 3\n {2}kept-2 2\narq apply asks for --allow-unreachable\n/);
  const { unreachable } = JSON.parse(await arq(2, "plan", "none", "--json"));
  assert.deepEqual(unreachable.hidden, { rooms: 2, messages: 5 });
  assert.match(await arq(1, "apply", "none"), /unreachable: 5 messages.*; nothing was changed\n/);
  assert.match(await arq(2, "plan", "narrow"), /\nunreachable: 2 messages in 1 room would/);
  assert.match(await arq(2, "plan", "wide"), /\nunreachable: 3 messages in 1 room would/);
  const short = await arq(2, "plan", "short");
  assert.match(
    short,
    /\ndeleted: 1 message of 1 room would be beyond the new history\n {2}kept-1 1\n/,
  );
  assert.match(await arq(1, "apply", "short"), /nothing was changed/);
  assert.match(await arq(0, "apply", "longer"), /\napplied as/);
  assert.match(await arq(0, "apply", "none", "--allow-unreachable"), /\napplied as/);
  await arq(0, "apply", "all");
  const history = JSON.parse(await arq(0, "room", "class", "explain", "kept-1", "--json"));
  assert.equal(history.class.durable, true);
  assert.match(await arq(2, "plan", "none"), /5 messages in 2 rooms/, "they are readable again");
});

Deno.test("removing or setting one class manually prompts, too", async () => {
  await using bus = await startLocalBus("");
  await using folder = await folderWith({});
  const arq = await localArq(bus, folder.path);
  await arq(0, "room", "class", "set", "kept-*", "--durable");
  await fill(bus, "kept-1", 2);
  const refused = /unreachable: 2 messages in 1 room .*; nothing was changed\n/;
  assert.match(await arq(1, "room", "class", "remove", "kept-*"), refused);
  assert.match(await arq(1, "room", "class", "set", "kept-*", "--no-presence"), refused);
  const shorter = ["room", "class", "set", "kept-*", "--durable", "--history-size", "1"];
  assert.match(await arq(1, ...shorter), /deleted: 1 message of 1 room/);
  await arq(0, "room", "class", "set", "kept-*", "--durable", "--no-presence");
  await arq(0, "room", "class", "set", "other-*");
  await arq(0, "room", "class", "remove", "other-*");
  await arq(0, "room", "class", "remove", "kept-*", "--allow-unreachable");
});

Deno.test("journals of members, and dead letters of a hook that is removed, are counted as well", async () => {
  await using bus = await startLocalBus("");
  const kept = 'room = "kept-*"\ndurable = true\n';
  await using folder = await folderWith({
    "with/a.toml": rooms(`${kept}membership = "journal"`),
    "without/a.toml": rooms(kept),
    "nohooks/a.toml": 'tenant = "default"\nhooks = []\n',
  });
  const arq = await localArq(bus, folder.path);
  const ask = asker(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  await arq(0, "apply", "with");
  // The address is refused and not retried.
  const hook = { url: "https://127.0.0.1:1/", room: "kept-*", retries: 0 };
  assert.equal((await ask("PUT", "tenants/default/hooks/crm", hook)).status, 200);
  using client = await openText(bus.url, await bus.tokenFor());
  client.send({ op: "sub", room: "kept-1", presence: true, id: 1 });
  const listed = async (path: string) => JSON.stringify((await ask("GET", path)).body);
  await until(
    "the member is kept",
    async () => (await listed("rooms/stored?tenant=default")).includes("kept-1~members"),
  );
  assert.match(
    await arq(2, "plan", "without"),
    /\nunreachable: \d+ messages? in 1 room would .*\n {2}kept-1~members \d/,
  );
  await until("the hook exists", async () => {
    await fill(bus, "kept-1", 1);
    return (await ask("GET", "tenants/default/hooks/crm")).body.hook.dead > 0;
  });
  assert.match(await arq(2, "plan", "nohooks"), /\ndeleted: \d+ dead letters? of hook crm\n/);
  assert.match(await arq(1, "apply", "nohooks"), /dead letters? of hook crm; nothing was changed/);
  await arq(0, "apply", "nohooks", "--allow-unreachable");
  assert.match(await listed("tenants/default/hooks"), /"hooks":\[\]/);
});
