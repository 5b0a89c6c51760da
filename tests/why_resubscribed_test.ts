/** What `why` says of a subscription that takes the place of another in the same millisecond, on a real bus. */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";

Deno.test("a subscription that takes the place of another in the same breath gets what comes then", async () => {
  await using bus = await startLocalBus();
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  using bob = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  const publish = (room: string, message_id: string) =>
    ask(ann, { op: "pub", room, type: "t", data: 1, message_id });
  const subscribe = async (rooms: readonly string[]) => {
    for (const room of rooms) bob.send({ op: "sub", room, id: 1 });
    for (let at = 0; at < rooms.length; at++) assert.equal((await bob.json()).code, 0);
  };
  // A millisecond may end between two frames; it does not between all of these.
  for (let at = 0; at < 20; at++) {
    const [twice, patterned] = [`twice-${at}`, `pattern-${at}-a`];
    // The ledger has a number for a room from its first message on.
    await subscribe([twice]);
    await publish(twice, `first-${twice}`);
    await publish(patterned, `first-${patterned}`);
    await bob.json();
    await subscribe([twice, twice, `pattern-${at}-*`, patterned]);
    for (const room of [twice, patterned]) {
      await publish(room, `then-${room}`);
      assert.equal((await bob.json()).room, room);
      const { connections } = await admin.read(`/v1/why?message_id=then-${room}&user=bob`);
      const [{ outcomes: [outcome] }] = connections;
      assert.equal(outcome.state, "sent", `${room}: ${JSON.stringify(outcome)}`);
    }
  }
});
