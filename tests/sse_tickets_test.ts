/** Tickets over real requests: a page reads events with one, once, and only what it is for. */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[sse]
tickets = 8
`;

Deno.test("a ticket in place of a token", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  const grants = [{ room: "mine*", actions: ["subscribe"] }];
  const token = await bus.tokenFor({ user: "ann", claims: { grants } });
  const peer = new HttpPeer(bus.http_url, token);
  const ask = async (body: unknown) => {
    const { status, body: answer } = await peer.call("POST", "tickets", body);
    return status === 200 ? answer : `${status} ${answer.reason}`;
  };
  const open = (path: string, options = {}) =>
    EventReader.open(`${bus.http_url}/v1/${path}`, options);

  await t.step("opens a stream as its user, once", async () => {
    const { ticket, expires_ms } = await ask({ rooms: ["mine", "mine-2"] });
    assert.ok(expires_ms > Date.now());
    using reader = await open(`rooms/mine/events?ticket=${ticket}`);
    assert.equal((await reader.until("welcome")).data.user_id, "ann");
    await reader.until("subscribed");
    const again = open(`rooms/mine/events?ticket=${ticket}`);
    await assert.rejects(again, { message: `${401} ${"ticket-invalid"}` });
  });
  await t.step("is for its rooms only, and for nothing else", async () => {
    const { ticket } = await ask({ rooms: ["mine"] });
    const other = open(`rooms/mine-2/events?ticket=${ticket}`);
    await assert.rejects(other, { message: "403 not-granted" });
    const { ticket: second } = await ask({ rooms: ["mine"] });
    const state = await fetch(`${bus.http_url}/v1/rooms/mine/state?ticket=${second}`);
    assert.deepEqual([state.status, (await state.json()).reason], [401, "token-missing"]);
    using reader = await open(`rooms/mine/events?ticket=${second}`);
    await reader.until("subscribed");
  });
  await t.step("stays good where a token goes before it", async () => {
    const { ticket } = await ask({ rooms: ["mine"] });
    using first = await open(`rooms/mine/events?ticket=${ticket}`, { token });
    await first.until("subscribed");
    using second = await open(`rooms/mine/events?ticket=${ticket}`);
    await second.until("subscribed");
  });
  await t.step("is refused where it is not right", async () => {
    const cases: [unknown, string][] = [
      [{ rooms: ["other"] }, "403 not-granted"],
      [{ rooms: ["a.b"] }, "400 invalid-room"],
      [{ rooms: [] }, "400 invalid-field"],
      [{ rooms: "mine" }, "400 invalid-field"],
      [{}, "400 invalid-field"],
      [{ rooms: ["mine"], ttl: 9 }, "400 unknown-field"],
      ["[]", "400 malformed-body"],
      [{ rooms: Array.from({ length: 33 }, (_, n) => `mine${n}`) }, "429 too-many-rooms"],
    ];
    for (const [body, said] of cases) assert.equal(await ask(body), said, JSON.stringify(body));
    const made: string[] = [];
    for (let n = 0; n < 8; n++) made.push(await ask({ rooms: ["mine"] }));
    assert.equal(made.at(-1), "429 too-many-pending");
  });
});
