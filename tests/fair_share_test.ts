/**
 * Two tenants on a Shield at its limit: one asks for many times what the process may take, the other
 * for half its share. Counted, not timed.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openText } from "./peers/raw_client.ts";
import { until } from "../shared/testing/until.ts";

const RATE = 200;
/** Kinds of sockets that refuse each message too many, and that slow down whoever sends them. */
const KINDS = { native: "refuses", own: "slows" } as const;
const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
[limits]
process_messages_per_second = ${RATE}
rate_refusals = 1_000_000_000
`;
/** Operations that the flood has under way at a time. */
const WINDOW = 200;
const MODEST = 150;
/** Half its share of the rate. */
const PAUSE_MS = 1_000 / (RATE / 2 / 2);

interface Flood {
  taken: number;
  refused: number;
}

/** Sends one window after another, each when the one before is answered, until told to stop. */
async function flood(bus: TestBus, counts: Flood, signal: AbortSignal): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor({ tenant: "loud" }));
  while (!signal.aborted) {
    for (let id = 1; id <= WINDOW; id++) client.send({ op: "pub", room: "r", data: id, id });
    for (let id = 1; id <= WINDOW; id++) {
      const answer = await client.json();
      if (answer.code === 0) counts.taken++;
      else {
        assert.equal(answer.reason, "rate-limited");
        assert.match(
          answer.message,
          /^Rate limited: this process has 200 messages a second, which its/,
        );
        counts.refused++;
      }
    }
  }
}

/** The modest tenant's messages that were refused, and the flood's answers during each of them. */
async function modestly(bus: TestBus, counts: Flood) {
  using modest = await openText(bus.url, await bus.tokenFor({ tenant: "modest" }));
  let refused = 0;
  const meanwhile: number[] = [];
  for (let id = 1; id <= MODEST; id++) {
    await pace(PAUSE_MS);
    const before = counts.taken + counts.refused;
    modest.send({ op: "pub", room: "r", data: id, id });
    if ((await modest.json()).code !== 0) refused++;
    meanwhile.push(counts.taken + counts.refused - before);
  }
  return { refused, median: meanwhile.toSorted((a, b) => a - b)[MODEST / 2] ?? Infinity };
}

for (const [websocket, does] of Object.entries(KINDS)) {
  Deno.test(`a tenant that floods the process leaves another its share, and answers in time (${websocket})`, async () => {
    await using bus = await startLocalBus(configOf(websocket));
    const counts: Flood = { taken: 0, refused: 0 };
    const stop = new AbortController();
    const flooding = flood(bus, counts, stop.signal);
    const beyond = does === "refuses" ? WINDOW : 1;
    await until("a flood over its rate", () => counts.refused >= beyond);
    const { refused, median } = await modestly(bus, counts);
    stop.abort();
    await flooding;
    assert.ok(refused <= MODEST * 0.05, `${refused} of ${MODEST} refused`);
    const most = does === "refuses" ? counts.refused > counts.taken * 3 : counts.refused > 0;
    assert.ok(most, JSON.stringify(counts));
    assert.ok(counts.taken > 0, "the flood has its share too");
    // One that had to wait for the flood to end, or for its turn in a queue of all, would see far more.
    assert.ok(median <= WINDOW * 2, `${median} answers of the flood before one of the other's`);
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    const total = counts.refused + refused;
    assert.ok(
      metrics.includes(`shield_rate_refusals_total{scope="process"} ${total}\n`),
      metrics,
    );
    assert.ok(metrics.includes('shield_rates{scope="tenant"} '));
  });
}
