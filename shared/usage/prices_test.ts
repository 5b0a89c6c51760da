/** The price book of a bus, as its Shields keep it in the bucket. */
import assert from "node:assert/strict";
import type { Usage } from "../config/schema_usage.ts";
import { overriding } from "../testing/overriding.ts";
import type { Spine } from "../spine/contract/spine.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { QUIET } from "../testing/logs.ts";
import { pricesAt } from "./price_book.ts";
import { Prices } from "./prices.ts";

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 2, 5);
const FEBRUARY_MS = Date.UTC(2026, 1, 10);

const ledgerOf = (spine: Spine) =>
  spine.blocks("usage", { max_bytes: 1e9, max_age_seconds: 90 * 86_400 });

Deno.test("prices: a Shield whose clock is a month behind changes no price of the past", async () => {
  const spine = openEmbedded({ log: QUIET, now: () => START_MS });
  try {
    const storeTime = () => Promise.resolve(START_MS);
    const bucket = overriding(await spine.keyValue("ARQON_USAGE"), { storeTime });
    const place = { running: () => Promise.resolve(bucket), store: () => ledgerOf(spine) };
    const shield = (prices: Usage["prices"], now_ms: number) => {
      const config = { prices, prices_from: undefined };
      return new Prices({ config, place, log: QUIET, now: () => now_ms });
    };
    await shield({ messages_in: 1 }, START_MS).read();
    const book = await shield({ messages_in: 2 }, FEBRUARY_MS - 10 * DAY_MS).read();
    assert.deepEqual(pricesAt(book, FEBRUARY_MS), { messages_in: 1 });
    assert.deepEqual(pricesAt(book, START_MS), { messages_in: 2 });
  } finally {
    await spine.drain();
  }
});

Deno.test("prices: an embedded bus whose clock was set back by months changes no price of stored use", async () => {
  const clock = { now_ms: START_MS };
  const now = () => clock.now_ms;
  const spine = openEmbedded({ log: QUIET, now });
  try {
    const store = await ledgerOf(spine);
    const place = {
      running: () => spine.keyValue("ARQON_USAGE"),
      store: () => Promise.resolve(store),
    };
    const bus = (prices: Usage["prices"]) =>
      new Prices({ config: { prices, prices_from: undefined }, place, log: QUIET, now });
    await bus({ messages_in: 1 }).read();
    const block = { tenant_id: "acme", node_id: "one", payload: new Uint8Array(9) };
    await store.append({ ...block, ttl_seconds: 90 * 86_400, max_bytes: 1e9 });
    clock.now_ms = 0;
    const book = await bus({ messages_in: 2 }).read();
    assert.deepEqual(pricesAt(book, FEBRUARY_MS), { messages_in: 1 });
    assert.deepEqual(pricesAt(book, START_MS), { messages_in: 2 });
  } finally {
    await spine.drain();
  }
});

Deno.test("prices: a recreated bucket gets the book in force, not the prices of the next process that starts", async () => {
  const spine = openEmbedded({ log: QUIET, now: () => START_MS });
  try {
    const bucket = await spine.keyValue("ARQON_USAGE");
    const place = { running: () => Promise.resolve(bucket), store: () => ledgerOf(spine) };
    const clock = { now_ms: START_MS };
    const shield = (prices: Usage["prices"]) => {
      const config = { prices, prices_from: undefined };
      return { config, prices: new Prices({ config, place, log: QUIET, now: () => clock.now_ms }) };
    };
    const one = shield({ messages_in: 1 });
    await one.prices.read();
    clock.now_ms += DAY_MS;
    one.config.prices = { messages_in: 2 };
    one.prices.renew();
    const held = await one.prices.read();
    for (const key of await bucket.keys()) await bucket.delete(key);
    assert.deepEqual(await one.prices.read(), held);
    const book = await shield({ messages_in: 3 }).prices.read();
    assert.deepEqual(pricesAt(book, START_MS), { messages_in: 1 });
    assert.deepEqual(book, await one.prices.read());
  } finally {
    await spine.drain();
  }
});
