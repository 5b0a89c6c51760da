/**
 * In which order, and about which room, a reader is judged. Rooms beside a room, whose names the bus keeps for itself:
 * whoever may not have the room may have none of them, by any way in, and a policy that is bound to the room alone is
 * asked about all of them. What is wrong with a SUB is said before anybody is asked.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { EventReader } from "./peers/event_reader.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { openText } from "./peers/raw_client.ts";

const ROOM = "stage-1";
const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[[rooms]]
room = "stage-*"
durable = true
membership = "journal"
`;
/** Lets every message through, and nobody subscribe. */
const NOBODY = guest({
  hook: "(i32.const 0)",
  more: '(func (export "arqon_on_subscribe") (result i32) (i32.const 1))',
});

/** Every way to read a room; each gives the reason of the refusal, "" where there is none. */
const WAYS: Readonly<
  Record<string, (bus: TestBus, token: string, room: string) => Promise<string>>
> = {
  async sub(bus, token, room) {
    using client = await openText(bus.url, token);
    client.send({ op: "sub", room, id: 1 });
    return (await client.json()).reason ?? "";
  },
  async history(bus, token, room) {
    const { body } = await new HttpPeer(bus.http_url, token).call("GET", `rooms/${room}/messages`);
    return body.reason ?? "";
  },
  async events(bus, token, room) {
    try {
      using _reader = await EventReader.open(`${bus.http_url}/v1/rooms/${room}/events`, { token });
      return "";
    } catch (error) {
      return (error as Error).message.replace(/^\d+ /, "");
    }
  },
  async stream(bus, token, room) {
    const response = await fetch(`${bus.http_url}/v1/streams/${room}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const text = await response.text();
    return response.ok ? "" : JSON.parse(text).reason;
  },
};

Deno.test("a policy that is bound to a room alone is asked about the rooms beside it, whoever reads them", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ user: "ann" });
  const rooms = ["", "~members", "~growing", "~values"].map((suffix) => `${ROOM}${suffix}`);
  const all = async () => {
    const reasons: Record<string, string> = {};
    for (const room of rooms) {
      for (const [way, ask] of Object.entries(WAYS)) {
        reasons[`${way} ${room}`] = await ask(bus, token, room);
      }
    }
    return reasons;
  };
  const before = await all();
  assert.ok(!Object.values(before).includes("policy-rejected"), JSON.stringify(before));
  const admin = await policyAdmin(bus);
  const { body: { sha256 } } = await admin.upload(NOBODY);
  const policy = { tenant: "default", name: "nobody", sha256, room: ROOM };
  assert.equal((await admin.post("deploy", policy)).status, 200);
  const expected = Object.keys(before).map((key) => [key, "policy-rejected"]);
  assert.deepEqual(await all(), {
    ...Object.fromEntries(expected),
    // Pieces are not kept.
    [`stream ${ROOM}~growing`]: "stream-not-found",
  });
});

Deno.test("a filter is checked before policies are asked, of a room and of a pattern", async () => {
  await using bus = await startLocalBus(CONFIG);
  const admin = await policyAdmin(bus);
  const { body: { sha256 } } = await admin.upload(NOBODY);
  const policy = { tenant: "default", name: "nobody", sha256 };
  assert.equal((await admin.post("deploy", policy)).status, 200);
  using client = await openText(bus.url, bus.token);
  for (const room of [ROOM, "stage-*"]) {
    client.send({ op: "sub", room, filter: "type ==", id: 1 });
    assert.equal((await client.json()).reason, "invalid-filter", room);
    client.send({ op: "sub", room, filter: 'type == "chat"', id: 2 });
    assert.equal((await client.json()).reason, "policy-rejected", room);
  }
});
