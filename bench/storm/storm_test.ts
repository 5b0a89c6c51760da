/** The options of `deno task bench storm`, and its failures, with invented figures. */
import assert from "node:assert/strict";
import { UsageError } from "../measure/scenario.ts";
import { socketLine } from "../measure/targets.ts";
import { figuresOf, promisesOf, type StormRound } from "./storm_verdict.ts";

const CLIENTS = 4;
const CORES = 2;

/** A storm without a failure, except for the given values. */
function storm(
  crowd: Partial<StormRound["crowds"][number]> = {},
  pair: Partial<StormRound["pair"][string]> = {},
): StormRound {
  const calm = { sent: 100, received: 100, p50_ms: 2, p99_ms: 4, max_ms: 5, silence_ms: 9 };
  const all = {
    back_ms: [400, 600, 900, 4_999],
    handshake_ms: [40, 50, 60, 99],
    retry_after_ms: [],
    lost: 0,
    mute_refusals: 0,
    other_refusals: 0,
    failures: 0,
    cpu_seconds: 1,
    ...crowd,
  };
  return {
    crowds: [all],
    pair: { before: calm, storm: { ...calm, p99_ms: 8, ...pair }, after: calm },
    spent: {
      ...{ cpu_seconds: 1, accepted: 4, answered_p99_ms: 1, cache_hits: 4, cache_misses: 0 },
    },
  };
}

function broken(round: StormRound): string[] {
  return promisesOf(figuresOf(round, CLIENTS), round, CORES)
    .filter(({ kept }) => !kept).map(({ promise }) => promise);
}

Deno.test("a storm after which all clients return in time breaks nothing", () => {
  assert.deepEqual(broken(storm()), []);
});

Deno.test("each promise of a storm is judged", () => {
  const late = "the last is back (1 core pair, clients included)";
  const steady = "p99 of the steady pair, storm : before";
  assert.deepEqual(broken(storm({ lost: 1 })), ["all are back, none is lost"]);
  assert.deepEqual(broken(storm({ back_ms: [1, 2, 3] })), ["all are back, none is lost"]);
  assert.deepEqual(broken(storm({ back_ms: [1, 2, 3, 5_001] })), [late]);
  assert.deepEqual(broken(storm({ handshake_ms: [1, 2, 3, 100] })), [
    "p99 of a handshake that was let in",
  ]);
  assert.deepEqual(broken(storm({}, { p99_ms: 8.1 })), [steady]);
  assert.deepEqual(broken(storm({}, { received: 99 })), [
    "messages of the steady pair that are missing",
  ]);
  assert.deepEqual(broken(storm({ mute_refusals: 1 })), ["refusals without a Retry-After"]);
  assert.deepEqual(broken(storm({}, { p99_ms: NaN })), [steady]);
});

Deno.test("--websocket accepts a kind of sockets, and nothing else", () => {
  for (const kind of ["", "native", "own"]) assert.equal(socketLine(kind) === "", kind === "");
  for (const kind of ["own,", "http", "own native", "ws"]) {
    assert.throws(() => socketLine(kind), UsageError, kind);
  }
});
