/** Readers of events on two Shields and NATS: a drain loses nothing, and a ticket is good once on both. */
import assert from "node:assert/strict";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const httpOf = (url = "") => new URL(url).origin.replace(/^ws/, "http");

Deno.test("a reader moves to another Shield without a gap; a ticket of one is good at the other", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const rooms = '[[rooms]]\nroom = "kept"\ndurable = true\nhistory_size = 1_000\n';
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${rooms}`;
  await using _brain = await startServer("brain", config, issuer.dir);
  const [one, two] = await Promise.all(
    ["one", "two"].map((name) =>
      startServer("shield", config, issuer.dir, `node_id = "${name}"\ndrain_ms = 1_000`)
    ),
  );
  assert.ok(one !== undefined && two !== undefined);
  await using _one = one;
  await using _two = two;
  const [first, second] = [one, two].map(({ ready }) => httpOf(ready.url));
  const token = await issuer.tokenFor();
  const [asking, publishing] = [first, second].map((url) => new HttpPeer(url ?? "", token));
  const { body: { ticket } } = await asking!.call("POST", "tickets", { rooms: ["kept"] });
  using reader = await EventReader.open(`${second}/v1/rooms/kept/events?ticket=${ticket}`);
  await reader.until("subscribed");
  const again = EventReader.open(`${first}/v1/rooms/kept/events?ticket=${ticket}`);
  await assert.rejects(again, { message: "401 ticket-invalid" });

  let sent = 0;
  const publish = () =>
    publishing!.done("POST", "rooms/kept/messages", { type: "t", data: ++sent });
  const got: number[] = [];
  let last = "";
  const take = async (from: EventReader): Promise<string | undefined> => {
    const event = await from.next();
    if (event?.name === "message") got.push(event.data.data);
    if (event?.id) last = event.id;
    return event?.name;
  };
  using moving = await EventReader.open(`${first}/v1/rooms/kept/events`, { token });
  await moving.until("subscribed");
  for (let n = 0; n < 5; n++) await publish();
  const stopped = one.stop();
  // It is sent away within the window, while messages go on.
  for (let name; (name = await take(moving)) !== undefined;) {
    if (name === "signal") { for (let n = 0; n < 5; n++) await publish(); }
  }
  for (let n = 0; n < 5; n++) await publish();
  const headers = { "last-event-id": last };
  using moved = await EventReader.open(`${second}/v1/rooms/kept/events`, { token, headers });
  assert.equal((await moved.until("subscribed")).data.recovered, true);
  while (got.length < sent) assert.notEqual(await take(moved), undefined);
  assert.deepEqual(got, Array.from({ length: sent }, (_, at) => at + 1));
  assert.ok(sent >= 15);
  await stopped;
});
