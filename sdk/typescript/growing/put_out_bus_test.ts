// Loops that show no signals on a real bus: their readers learn that they were put out of the room.
import assert from "node:assert/strict";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { send } from "../../../tests/peers/own_connections.ts";
import { durableRooms } from "../../../shared/testing/room_classes.ts";
import { connect } from "../mod.ts";
import { roomState } from "../state.ts";
import { growing, openStream, readStream } from "../streams.ts";

Deno.test("readers who are put out of a room, or revoked, learn it", async () => {
  await using bus = await startLocalBus(durableRooms("chat-*"));
  const root = await bus.tokenFor({ user: "root", role: "admin" });
  const open = async (user: string, role: "user" | "service" = "user") =>
    await connect({ url: bus.url, token: await bus.tokenFor({ user, role }) });
  await using mod = await open("mod", "service");
  const room = mod.room("chat-out");
  const out = await openStream(room, { id: "one" });
  await out.write("so far");
  const user_id = "bob";
  const revoke = async () => {
    const revoked = { tenant: "default", user: user_id };
    const response = await send(`${bus.admin_url}/v1/revocations`, root, "POST", revoked);
    assert.equal(response.status, 200, await response.text());
  };
  const ways: [reason: string, put: () => Promise<unknown>][] = [
    ["disconnected", () => room.kick({ user_id })],
    ["room-banned", () => room.ban(user_id, { scope: "room" })],
    ["token-revoked", revoke],
  ];
  for (const [reason, put] of ways) {
    await using bob = await open(user_id);
    const all = [growing(bob.room("chat-out")), readStream(bob.room("chat-out"), "one")];
    const state = roomState(bob.room("chat-out")).changes();
    for (const one of all) assert.equal((await one.next()).value?.text, "so far");
    assert.equal((await state.next()).value?.op, "state");
    const ended = Promise.all(
      // A kick is also a change of the state.
      [...all, state].map((one) => assert.rejects(Array.fromAsync<unknown>(one), { reason })),
    );
    await put();
    await ended;
    await room.unban(user_id, { scope: "room" });
  }
  await out.finish();
});
