// Requests for missed changes of a room's state, and the loop over changes on a real bus. The scenarios of
// sdk/conformance define the requests and their times.
import assert from "node:assert/strict";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { connect } from "../mod.ts";
import { type RoomEvent, roomState } from "../state.ts";

async function next(changes: AsyncIterator<RoomEvent, undefined>): Promise<RoomEvent> {
  const { value } = await changes.next();
  assert.ok(value !== undefined, "the loop has ended");
  return value;
}

Deno.test("the changes of a state begin with all of it, and a loop that was slow gets all of it again", async () => {
  await using server = await startLocalBus();
  await using ann = await connect({ url: server.url, token: server.token });
  await using bob = await connect({ url: server.url, token: server.token });
  const hers = roomState(ann.room("mirror"));
  const his = roomState(bob.room("mirror"));
  await hers.set("before", 1);
  using changes = his.changes();
  await changes.ready;
  const first = await next(changes);
  assert.deepEqual([first.op, first["state"]], ["state", { before: 1 }]);
  await hers.set("after", { deep: [2] });
  await hers.delete("before");
  const set = await next(changes);
  const gone = await next(changes);
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
