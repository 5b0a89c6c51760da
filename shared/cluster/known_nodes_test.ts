/** The processes that a question waits for, from received messages and the registry of Shields. */
import assert from "node:assert/strict";
import { KnownNodes } from "./cluster_asker.ts";

const NOW_MS = 1_000_000;

Deno.test("a node registered as alive is waited for; an ended one only while it was received since", () => {
  const clock = { now_ms: NOW_MS };
  const known = new KnownNodes({
    node_id: "own",
    kind: "shield",
    monotonic_ms: () => clock.now_ms,
  });
  known.note("brain", "brain");
  known.note("gone", "shield");
  known.note("again", "shield");
  const gone = known.register([
    ...[{ node_id: "own", over_for_ms: 0 }, { node_id: "never" }],
    ...[{ node_id: "gone", over_for_ms: 0 }, { node_id: "again", over_for_ms: 1 }],
    { node_id: "long gone", over_for_ms: 0 },
  ]);
  assert.deepEqual([...gone], ["gone"]);
  assert.deepEqual(known.expected({ of: "shield" }), ["own", "again", "never"]);
  assert.deepEqual(known.expected({}).length, 4);
  assert.deepEqual(known.expected({ to: "gone" }), ["gone"]);
  clock.now_ms += 121_000;
  known.forget(["never", "again"]);
  known.register([{ node_id: "never" }]);
  assert.deepEqual(known.expected({ of: "shield" }), ["own", "never"]);
});
