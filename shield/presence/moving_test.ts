/** Who keeps the id of his connection, on an embedded Spine: bounds, times, strangers' bytes. */
import assert from "node:assert/strict";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { MOVING } from "../../shared/subjects/subject.ts";
import { Moving } from "./moving.ts";

const ANN = { tenant_id: "acme", user_key: "https://idp ann" };
const log = createLogger({
  level: "error",
  format: "logfmt",
  component: "test",
  now: Date.now,
  write: (line) => console.error(line),
});

Deno.test("an id is kept once, for its user, within the time, and not on its own Shield", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  let now_ms = 0;
  const open = (node_id: string) =>
    new Moving({
      ...{ node_id, spine, log, patience_ms: 1_000, monotonic_ms: () => now_ms },
      registry: createMetrics({ node_id, version: "0" }),
    });
  const [one, two] = [open("one"), open("two")];
  try {
    await one.tell(["c1", "c2", "c3"].map((id) => ({ id, identity: ANN })));
    await spine.flush();
    assert.deepEqual([one.size, two.size], [0, 3]);
    assert.equal(two.keep("c1", { ...ANN, user_key: "https://idp bob" }), undefined);
    assert.equal(two.keep("c1", { ...ANN, tenant_id: "other" }), undefined);
    assert.equal(two.keep("c9", ANN), undefined);
    assert.equal(two.keep("c1", ANN), "c1");
    assert.equal(two.keep("c1", ANN), undefined, "once");
    now_ms = 999;
    assert.equal(two.keep("c2", ANN), "c2");
    now_ms = 1_000;
    assert.equal(two.keep("c3", ANN), undefined, "too late");
    assert.equal(two.size, 0);
    for (const text of ["", "{}", '{"from":"x","connections":[["a","b"]]}', '{"from":1}', "\xff"]) {
      spine.publish(MOVING, new TextEncoder().encode(text));
    }
    await spine.flush();
    assert.equal(two.size, 0);
  } finally {
    one.close();
    two.close();
    await spine.drain();
  }
});

Deno.test("a Spine that is away: the drain goes on", async () => {
  const spine = openEmbedded({ log, now: Date.now });
  const lines: string[] = [];
  const moving = new Moving({
    ...{ node_id: "one", spine, patience_ms: 1_000, monotonic_ms: () => 0 },
    registry: createMetrics({ node_id: "one", version: "0" }),
    log: createLogger({
      ...{ level: "warn", format: "logfmt", component: "test", now: Date.now },
      write: (line) => void lines.push(line),
    }),
  });
  await spine.drain();
  await moving.tell([{ id: "c1", identity: ANN }]);
  assert.equal(lines.length, 1);
  moving.close();
});
