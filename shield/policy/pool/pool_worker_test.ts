/** One real worker: deadlines, progress. Queues are in `pool_lane_test.ts`. */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { PolicyWorker } from "./pool_lane.ts";
import { type ChainEntry, encodeRequest } from "../ring/ring_message.ts";
import type { WorkerReply } from "../ring/ring_words.ts";
import { FOREVER, loadableGuest, unmeteredGuest, WEDGES } from "../testing/guests.ts";
import { message } from "../testing/pool.ts";
import type { LoadableModule } from "./pool_modules.ts";

/** This many calls that burn all their fuel take longer than a late request may wait for others. */
const BURNS = 50;
const ENTRY: ChainEntry = { module: 1, name: "p", mode: "enforce", asks: false };

Deno.test("a worker with code of another version than the process reports that and does no work", async () => {
  const outcome = Promise.withResolvers<string>();
  const thread = new Worker(new URL("../worker/worker.ts", import.meta.url), {
    type: "module",
    deno: { permissions: "none" },
  });
  thread.onerror = (event) => {
    event.preventDefault();
    outcome.resolve(event.message);
  };
  thread.onmessage = () => outcome.resolve("it started");
  thread.postMessage({ kind: "start", layout: "0" });
  const replaced = /files were replaced while it ran \(messages 0 in the process/;
  assert.match(await outcome.promise, replaced);
  thread.terminate();
});

/** A worker with one module, and its replies. */
async function startWorker({ compiled }: LoadableModule) {
  const replies: [id: number, reply: WorkerReply][] = [];
  let arrived = Promise.withResolvers<void>();
  const limits = {
    ring_bytes: 65_536,
    fuel_limit: 10_000,
    chain_fuel_limit: 20_000,
    instances: 10,
  };
  const worker = new PolicyWorker({
    ...limits,
    now: () => performance.now(),
    onReply(id, reply) {
      replies.push([id, reply]);
      arrived.resolve();
      arrived = Promise.withResolvers();
    },
    onDrained: () => {},
    onCrash: (detail) => assert.fail(detail),
  });
  worker.load(1, { compiled, instance_units: 1 });
  await worker.ready;
  return {
    worker,
    replies,
    arrival: () => arrived.promise,
    send: (id: number, deadline_ms = Infinity) =>
      worker.send(encodeRequest({ id, deadline_ms }, message([]), [ENTRY])),
  };
}

Deno.test("a request for which other calls have left no time is not run", async () => {
  const { replies, arrival, send, worker } = await startWorker(loadableGuest({ body: FOREVER }));
  for (let id = 1; id <= BURNS; id++) send(id);
  send(BURNS + 1, -Infinity);
  while (replies.length <= BURNS) await arrival();
  const expired = replies.filter(([, reply]) => reply.expired === true);
  const nothing = { expired: true, outcomes: [], added_headers: [], logs: [] };
  assert.deepEqual(expired, [[BURNS + 1, nothing]]);
  worker.end();
});

Deno.test("a request that only a busy machine has delayed is run", async () => {
  const allows = loadableGuest({ body: "i32.const 0" });
  const { replies, arrival, send, worker } = await startWorker(allows);
  const arrived = arrival();
  send(1, -Infinity);
  await arrived;
  assert.deepEqual(replies.map(([id, { expired }]) => [id, expired]), [[1, undefined]]);
  worker.end();
});

Deno.test("a worker shows the running module, and is silent after it was dropped", async () => {
  const { worker, replies, send } = await startWorker(unmeteredGuest({ body: WEDGES }));
  send(1);
  await until("the module runs", () => worker.progress().running === 1);
  assert.equal(worker.progress().steps, 1);
  worker.end();
  assert.deepEqual(replies, []);
});
