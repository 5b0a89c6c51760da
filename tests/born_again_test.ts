/** A room that ends and is born again, as one sees it who has heard it all the time: no GAP, and `first`. */
import assert from "node:assert/strict";
import { connect } from "../sdk/typescript/mod.ts";
import type { RoomEvent } from "@arqon/sdk/state";
import { roomState } from "@arqon/sdk/state";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[brain]
idle_timeout_ms = 500
`;

Deno.test("who hears a room that is born again gets its first change, marked, and no GAP", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ended = async () => {
    const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
    return Number(/^brain_rooms_ended_total(?:\{[^}]*\})? (\d+)$/m.exec(page)?.[1] ?? 0);
  };
  await using ann = await connect({ url: bus.url, token: bus.token });
  await using bob = await connect({ url: bus.url, token: bus.token });
  roomState(bob.room("lobby"));
  using heard = bob.room("lobby").subscribe();
  await heard.ready;
  const next = async () => {
    const { value } = await heard.next();
    assert.equal(value?.type, "ROOM_UPDATE", `${value?.signal?.kind} ${value?.signal?.reason}`);
    return value.json<RoomEvent>();
  };
  const state = roomState(ann.room("lobby"));
  await state.set("k", 1);
  const [one, two] = [await next(), (await state.set("k", 2), await next())];
  assert.deepEqual([one.first, two.first, two.version], [true, undefined, one.version + 1]);
  await until("the room ends", async () => await ended() > 0);
  const { events = [] } = (await state.set("k", 3), await state.get("k", { events_after: 0 }));
  const again = await next();
  assert.deepEqual([again.first, again.value], [true, 3]);
  assert.notEqual(again.epoch, two.epoch);
  assert.ok(again.version > two.version);
  assert.deepEqual(events, [again]);
});
