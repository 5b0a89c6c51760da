/** Stores of blocks on real servers that lose their streams. */
import assert from "node:assert/strict";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { bytes, text } from "../../testing/conformance.ts";
import { logEngine, operator } from "../testing/nats_log_harness.ts";

Deno.test("a store of blocks whose stream was deleted stores the next block in a new one", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await logEngine([server.url]);
  await using outside = await operator(server.url);
  const kept = { max_bytes: 16_777_216, max_age_seconds: 3_600 };
  const store = await one.spine.blocks("journal", kept);
  const block = { tenant_id: "acme", node_id: "one", ttl_seconds: 60, max_bytes: 8_388_608 };
  await store.append({ ...block, payload: bytes("before") });
  await outside.streams.delete("ARQON_JOURNAL");
  await store.append({ ...block, payload: bytes("after") });
  const { blocks } = await store.read({ tenant_id: "acme", limit: 9 });
  assert.deepEqual(blocks.map(({ payload }) => text(payload)), ["after"]);
});
