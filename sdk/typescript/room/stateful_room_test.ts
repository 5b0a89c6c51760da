// Who asks for what is missing of a room's state, and the loop over its changes on a real bus. What is fetched, and
// when, is in the scenarios of sdk/conformance.
import assert from "node:assert/strict";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { connect, type Message, type Subscription } from "../mod.ts";
import { type RoomEvent, roomState } from "../state.ts";
import { type Line, ROOM, startRoom } from "../testing/durable_peer.ts";
import { quick } from "../testing/scripted_peer.ts";

const encoder = new TextEncoder();
const told = (version: number) => ({ version, epoch: "7", op: "set", by: "ann", at_ms: 1 });

function tell(line: Line, version: number): void {
  const data = encoder.encode(JSON.stringify(told(version)));
  line.say({ message_id: `room:7:${version}`, event: { type: "ROOM_UPDATE", data } });
}

const shown = (message: Message) => message.signal?.reason ?? message.json<RoomEvent>().version;

async function take(loop: Subscription, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < count) taken.push(shown((await loop.next()).value as Message));
  return taken;
}

Deno.test("a loop gets the changes that come, and from roomState on each once and in order", async () => {
  let asked = 0;
  await using peer = startRoom((line, subscribe) => line.accept(subscribe), (line, operation) => {
    if (operation.kind !== "publish") return;
    asked += 1;
    const events = [5, 6].map(told);
    const read = { version: 6, epoch: "7", key: "no-such-key", value: null, exists: false, events };
    line.answer(operation.envelope.request_id, encoder.encode(JSON.stringify(read)));
  });
  await using bus = await connect({ ...quick(peer.peer.url).options, random: () => 0 });
  const room = bus.room(ROOM);
  using loop = room.subscribe();
  await loop.ready;
  // Without it a hole is what the bus says of it, and changes are told as they come.
  for (const version of [1, 3, 2]) tell(peer.line, version);
  peer.line.gap("reconnect");
  assert.deepEqual(await take(loop, 4), [1, 3, 2, "reconnect"]);
  roomState(room);
  roomState(bus.room("other"));
  for (const version of [4, 4, 6]) tell(peer.line, version);
  assert.deepEqual(await take(loop, 3), [4, 5, 6]);
  assert.equal(asked, 1);
});

Deno.test("the changes of a state have what was missed over a reconnect before the first change came", async () => {
  let version = 5;
  await using peer = startRoom((line, subscribe) => line.accept(subscribe), (line, operation) => {
    if (operation.kind !== "publish") return;
    const read = { version, epoch: "7", state: { n: version } };
    line.answer(operation.envelope.request_id, encoder.encode(JSON.stringify(read)));
  });
  await using bus = await connect({ ...quick(peer.peer.url).options, random: () => 0 });
  using changes = roomState(bus.room(ROOM)).changes({ signal: AbortSignal.timeout(60_000) });
  assert.equal((await next(changes)).version, 5);
  version = 6;
  peer.line.drop();
  assert.deepEqual((await next(changes))["state"], { n: 6 });
});

async function next(changes: AsyncIterator<RoomEvent, undefined>): Promise<RoomEvent> {
  const { value } = await changes.next();
  assert.ok(value !== undefined, "the loop has ended");
  return value;
}

Deno.test("the changes of a state begin with all of it, and a loop that was slow gets all of it again", async () => {
  await using server = await startLocalBus();
  await using ann = await connect({ url: server.url, token: server.token });
  await using bob = await connect({ url: server.url, token: server.token });
  const [hers, his] = [roomState(ann.room("mirror")), roomState(bob.room("mirror"))];
  await hers.set("before", 1);
  using changes = his.changes();
  await changes.ready;
  const first = await next(changes);
  assert.deepEqual([first.op, first["state"]], ["state", { before: 1 }]);
  await hers.set("after", { deep: [2] });
  await hers.delete("before");
  const [set, gone] = [await next(changes), await next(changes)];
  assert.deepEqual([set.op, set.key, set.value], ["set", "after", { deep: [2] }]);
  assert.deepEqual([gone.op, gone.key, gone.version], ["delete", "before", first.version + 2]);

  using slow = roomState(ann.room("other")).changes({ buffer: 2 });
  assert.equal((await next(slow)).version, 0);
  const other = bob.room("other");
  for (let n = 1; n <= 5; n += 1) await roomState(other).set("n", n);
  // Whatever was dropped last, a change or not, the loop ends up with the state.
  for (let n = 1; n <= 5; n += 1) await other.publish("chat", n);
  const numberOf = ({ state, value }: RoomEvent) => (state as { n?: number })?.n ?? value;
  for (let shown = numberOf(await next(slow)); shown !== 5;) shown = numberOf(await next(slow));

  changes.close();
  assert.equal((await changes.next()).done, true);
  const over = new AbortController();
  const aborted = his.changes({ signal: over.signal });
  assert.equal((await next(aborted)).op, "state");
  over.abort(new Error("enough"));
  await assert.rejects(aborted.next(), /enough/);
});
