/**
 * Streams with the protocol's own client, from npm, while Shields are killed in the middle of appends: its idempotent
 * producers pipeline and retry, its reader follows. Both engines. In the end a plain request reads everything, as the
 * oracle of both.
 */
import assert from "node:assert/strict";
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";
import { pace } from "../shared/testing/pace.ts";
import { insist, until } from "../shared/testing/until.ts";
import { killableOnNats } from "./kills/killable_bus.ts";
import { type KillableBus, killableEmbedded } from "./kills/killable_embedded.ts";

const KILLS = 4;
const PRODUCERS = 3;
/** Between a producer's appends: several are in flight at each kill, however long a start takes. */
const EVERY_MS = 40;
/** The time limit of an append's answer, in milliseconds; a Shield that exceeds it is wrong. */
const ANSWER_MS = 60_000;
const BACKOFF = { initialDelay: 20, maxDelay: 200, multiplier: 2, maxRetries: Infinity };

/**
 * Sends requests to the Shields in turn, as a load balancer does. An append without an answer, or with 503, is retried:
 * the client's producer leaves that to its `fetch`.
 */
function inTurns(urls: readonly string[]): typeof fetch {
  let turn = 0;
  const ask = (place: unknown, init?: RequestInit) => {
    const { pathname, search } = new URL(String(place));
    return fetch(`${urls[turn++ % urls.length]}${pathname}${search}`, init);
  };
  return async (place, init) => {
    if (init?.method !== "POST") return await ask(place, init);
    const append = async () => {
      const answer = await ask(place, { ...init, signal: AbortSignal.timeout(ANSWER_MS) });
      if (answer.status !== 503) return answer;
      await answer.body?.cancel();
      throw new TypeError("503");
    };
    return await insist("an append is answered", append, (error) => error instanceof TypeError);
  };
}

/** The next append of each producer. */
const lineOf = (producer: number, at: number) => JSON.stringify(`${producer}:${at}`);

/** For each producer: all of its appends, once, in order. */
function requireAll(items: readonly string[], appended: readonly number[]): void {
  for (const [producer, count] of appended.entries()) {
    const own = items.filter((item) => item.startsWith(`${producer}:`));
    const wrong = own.findIndex((item, at) => item !== `${producer}:${at}`);
    const near = own.slice(Math.max(0, wrong - 2), wrong + 3);
    assert.equal(wrong, -1, `not ${producer}:${wrong}, but ${near}, of ${own.length} of ${count}`);
    assert.equal(own.length, count, `appends of ${producer}`);
  }
  assert.equal(items.length, appended.reduce((sum, count) => sum + count, 0));
}

/** A whole stream by plain requests, page by page. */
async function readWhole(ask: (query: string) => Promise<Response>): Promise<string[]> {
  const items: string[] = [];
  for (let offset = "-1";;) {
    const page = await ask(`?offset=${offset}`);
    assert.equal(page.status, 200);
    items.push(...await page.json());
    if (page.headers.has("stream-up-to-date")) return items;
    offset = page.headers.get("stream-next-offset") ?? "";
  }
}

async function overKills(bus: KillableBus): Promise<void> {
  const url = "http://bus.example/v1/streams/orders-1";
  const own = {
    url,
    fetch: inTurns(bus.urls),
    headers: { authorization: `Bearer ${bus.token}` },
    backoffOptions: BACKOFF,
  };
  await DurableStream.create({ ...own, contentType: "application/json" });
  // After an error the client's `flush` may wait for ever.
  const { promise: failed, reject: onError } = Promise.withResolvers<never>();
  const producers = Array.from({ length: PRODUCERS }, (_, at) => {
    const handle = new DurableStream({ ...own, contentType: "application/json" });
    return new IdempotentProducer(handle, `p-${at}`, { lingerMs: 1, fetch: own.fetch, onError });
  });
  const leave = new AbortController();
  const read: string[] = [];
  const reading = await stream<string>({ ...own, offset: "-1", live: true, signal: leave.signal });
  reading.subscribeJson(({ items }) => void read.push(...items));
  const appended = producers.map(() => 0);
  const append = () => {
    for (const [at, producer] of producers.entries()) {
      producer.append(lineOf(at, appended[at]!++));
    }
  };
  for (let turn = 0; turn < KILLS; turn++) {
    let is_back = false;
    const killed = bus.killOne(turn).then(() => is_back = true);
    while (!is_back) {
      append();
      await pace(EVERY_MS);
    }
    await killed;
  }
  await Promise.race([Promise.all(producers.map((producer) => producer.flush())), failed]);
  requireAll(
    await readWhole((query) => own.fetch(`${url}${query}`, { headers: own.headers })),
    appended,
  );
  const total = appended.reduce((sum, count) => sum + count, 0);
  await until(() => `the reader has ${read.length} of ${total}`, () => read.length >= total);
  requireAll(read, appended);
  leave.abort();
}

Deno.test("streams: the protocol's client over kills of an embedded bus", async () => {
  await using bus = await killableEmbedded();
  await overKills(bus);
});

Deno.test("streams: the protocol's client over kills of two Shields on NATS", async () => {
  await using bus = await killableOnNats();
  await overKills(bus);
});
