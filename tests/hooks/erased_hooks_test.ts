/** Hooks of a deleted tenant beside a Brain that is stopped while it stores what it knows of one. */
import { World } from "../../brain/hooks/testing/world.ts";
import { HOOKS_BUCKET } from "../../shared/records/hook_document.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import type { KvKey, Spine } from "../../shared/spine/contract/spine.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { dataStores } from "../../shield/data/stores.ts";

for (
  const [what, answer, key] of [
    ["a room's first position", 200, ["t", "h", "room", "o1"]],
    ["the wait that its receiver asks for", 503, ["t", "h", "wait"]],
  ] as const
) {
  Deno.test(`a hook whose tenant is deleted while its Brain stores ${what} leaves nothing`, async () => {
    await using world = await World.open();
    world.receiver.answer = () =>
      new Response(null, { status: answer, headers: { "retry-after": "3600" } });
    const reached = Promise.withResolvers<void>();
    const deleted = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const stalled = async <Result>(at: KvKey, write: () => Promise<Result>): Promise<Result> => {
      if (at.join() !== key.join()) return await write();
      reached.resolve();
      await deleted.promise;
      return await write().finally(written.resolve);
    };
    const { bucket, spine } = world;
    const slow = overriding(bucket, {
      put: (at, value) => stalled(at, () => bucket.put(at, value)),
      update: (at, ...how) => stalled(at, () => bucket.update(at, ...how)),
    });
    const keyValue: Spine["keyValue"] = async (name) =>
      name === HOOKS_BUCKET ? slow : await spine.keyValue(name);
    const through = overriding(spine, { keyValue });
    await world.brain("b1", new Registry(), { spine: through });
    await until("it began", async () => await bucket.get(["t", "h"]) !== undefined);
    await world.send("o1", 1);
    await reached.promise;
    const logs = { has: () => true, of: () => Promise.resolve(world.log) };
    for (const store of dataStores({ spine, now: Date.now, logs, blocks: [], asker: undefined })) {
      await store.erase({ tenant: "t" }, () => Promise.resolve(undefined));
    }
    deleted.resolve();
    await written.promise;
    await until("it is gone", async () => await bucket.get(key) === undefined);
  });
}
