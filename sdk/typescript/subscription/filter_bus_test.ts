// A loop with a filter on a real bus: live, from what is stored, and over a reconnect. What filters say is
// tested with the Shield.
import assert from "node:assert/strict";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { connect, type Room, type Subscription } from "../mod.ts";
import { history, replay, type ReplayOptions } from "../history.ts";
import { refusedWith } from "../testing/scripted_peer.ts";

const filter = "int(data) % 2 == 1";

async function store(room: Room, numbers: readonly number[]): Promise<void> {
  for (const number of numbers) await room.publish("n", number);
}

async function take(loop: Subscription, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < count) taken.push((await loop.next()).value?.json());
  return taken;
}

Deno.test("a loop with a filter gets what it asked for: live, stored, and when it begins anywhere", async () => {
  await using bus = await startLocalBus();
  await using ann = await connect({ url: bus.url, token: bus.token });
  await using bob = await connect({ url: bus.url, token: bus.token });
  for (const id of ["lobby", "durable-odd"]) {
    using odd = ann.room(id).subscribe({ filter });
    await odd.ready;
    await store(bob.room(id), [1, 2, 3, 4, 5]);
    assert.deepEqual(await take(odd, 3), [1, 3, 5]);
    assert.throws(() => ann.room(id).subscribe(), /is subscribed with filter = int/);
  }
  const begins = async (options: ReplayOptions, expected: readonly number[]) => {
    await using eve = await connect({ url: bus.url, token: bus.token });
    using loop = eve.room("durable-odd").subscribe({ filter, begin: replay(options) });
    await loop.ready;
    assert.deepEqual(await take(loop, expected.length), expected);
  };
  await begins({ from: "start" }, [1, 3, 5]);
  await begins({ from: 2 }, [3, 5]);
  await begins({ last: 2 }, [3, 5]);
  const page = await history(ann.room("durable-odd"), { filter, limit: 2 });
  assert.deepEqual([page.messages.map((one) => one.json()), page.more], [[1, 3], true]);
  using none = ann.room("other").subscribe({ filter: "data.n >" });
  await assert.rejects(none.ready, refusedWith("invalid-filter"));
});
