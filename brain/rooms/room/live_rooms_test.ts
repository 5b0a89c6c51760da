/** The number of live rooms of a Brain: creations, ends, members, and owners that change. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { accepted } from "../testing/command_probe.ts";
import { LiveRooms } from "./live_rooms.ts";
import { entry, type RoomNode, withTestBed } from "../testing/room_test_bed.ts";
import { RoomTally } from "./room_tally.ts";

const set = (room: string) => ({ name: "set", data: { key: "k", value: 1 }, room });
const counts = async (...nodes: readonly RoomNode[]) =>
  await Promise.all(nodes.map((node) => node.metric("brain_room_count")));
const shows = (what: string, wanted: readonly number[], ...nodes: readonly RoomNode[]) =>
  until(what, async () => String(await counts(...nodes)) === String(wanted));

Deno.test("a room counts from its first member or write until it ends; reading creates none", async () => {
  await withTestBed(async (bed) => {
    const { spine, cluster, bucket } = bed;
    const config = { brain: { idle_timeout_ms: 1_000 } };
    let now_ms = 1_700_000_000_000;
    const node = await bed.start("b1", { config, now: () => now_ms });
    await accepted(spine, { name: "get", room: "read" });
    for (const room of ["a", "b"]) await accepted(spine, set(room));
    cluster.change([entry("c1", { room_id: "b" }), entry("c2", { room_id: "b" })]);
    cluster.change([entry("c3", { room_id: "c" })]);
    await shows("a, b and c", [3], node);
    assert.equal((await bucket.keys()).length, 3);
    cluster.change([], [entry("c3", { room_id: "c" })]);
    cluster.change([entry("c1", { room_id: "b", meta: "{}" })], [entry("c1", { room_id: "b" })]);
    now_ms += 10_000;
    await shows("b keeps its members, the others end", [1], node);
    assert.deepEqual((await bucket.keys()).map(([, room]) => room), ["b"]);
  });
});

Deno.test("a room with members that may have no document is kept until they leave", async () => {
  await withTestBed(async ({ cluster, start }) => {
    const node = await start("b1", { config: { brain: { rooms_per_tenant: 1 } } });
    cluster.change([entry("c1", { room_id: "a" })]);
    await shows("the first", [1], node);
    cluster.change([entry("c2", { room_id: "b" })]);
    const refusals = 'brain_room_lifecycle_refused_total{reason="room-limit"}';
    await until("b has no document", async () => await node.metric(refusals) === 1);
    await shows("b lives all the same", [2], node);
    cluster.change([], [entry("c2", { room_id: "b" })]);
    await shows("nobody is in it", [1], node);
  });
});

Deno.test("a room counts at its owner only, whoever created it, and moves with it", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    cluster.owner = (room) => room < "m" ? "b1" : "b2";
    const one = await start("b1");
    const two = await start("b2");
    for (const room of ["a", "b", "x"]) await accepted(spine, set(room));
    cluster.change([entry("c1", { room_id: "y" })]);
    await shows("two each", [2, 2], one, two);
    cluster.handOver(() => "b2");
    await shows("all at the second", [0, 4], one, two);
    cluster.handOver((room) => room < "y" ? "b1" : "b2");
    await shows("most of them back", [3, 1], one, two);
    // As a stopping Brain does: it announces its stop first.
    cluster.handOver(() => "b2");
    await one.rooms.drain();
    assert.deepEqual(await counts(one), [0]);
    const three = await start("b3");
    cluster.handOver(() => "b3");
    await shows("a new one takes over all", [0, 0, 4], one, two, three);
  });
});

Deno.test("many rooms are looked through in turns, and what happens meanwhile counts", async () => {
  const ROOMS = 100_000;
  const tally = new RoomTally(ROOMS + 1);
  const occupied = Array.from({ length: 10 }, (_, index) => ({
    tenant_id: "acme",
    room_id: `member-${index}`,
  }));
  let owner = "b1";
  const live = new LiveRooms({
    tally,
    view: {
      brain_id: "b1",
      ownerOf: () => owner,
      count: (_, room_id) => {
        const connections = room_id.startsWith("member-") ? 1 : 0;
        return { connections, users: connections };
      },
      occupied: () => occupied,
    },
  });
  tally.follow((at) => live.look(at), () => live.survey());
  const keys = Array.from({ length: ROOMS }, (_, index) => ["acme", `room-${index}`] as const);
  await tally.recount(() => Promise.resolve(keys.map((key) => [...key])));
  let turns = 0;
  const ticker = setInterval(() => void turns++, 0);
  tally.note({ tenant_id: "acme", room_id: "room-99999" }, false);
  tally.note({ tenant_id: "acme", room_id: "new" }, true);
  await live.settled();
  clearInterval(ticker);
  assert.equal(live.size, ROOMS + occupied.length);
  assert.ok(turns >= 20, `others had ${turns} turns`);
  owner = "b2";
  live.survey();
  live.survey();
  await live.settled();
  assert.equal(live.size, 0);
});
