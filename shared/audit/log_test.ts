/** The audit log as a store of blocks, on both engines: one order for all who append, whatever expires. */
import assert from "node:assert/strict";
import { startNats } from "../../tests/harness/nats_server.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { bytes, refusedWith, text } from "../spine/testing/conformance.ts";
import { watched } from "../spine/nats/testing/nats_harness.ts";
import type { BlockRetention } from "../spine/contract/block_store.ts";
import { QUIET } from "../testing/logs.ts";
import { until } from "../testing/until.ts";
import type { Anchor } from "./chain.ts";
import { entryHash, NO_HASH } from "./entry.ts";
import { AuditLog } from "./log.ts";

const KEPT = { max_age_seconds: 3_600, max_bytes: 1_048_576 };
const conflict = refusedWith("version-conflict");

/** Opens the log as one Shield and as another; embedded there is only one. */
type Open = (retention?: BlockRetention) => Promise<{ mine: AuditLog; theirs: AuditLog }>;

async function embedded(run: (open: Open) => Promise<void>): Promise<void> {
  const spine = openEmbedded({ log: QUIET, now: Date.now });
  await run(async (retention = KEPT) => {
    const mine = new AuditLog(await spine.blocks("audit", retention));
    return { mine, theirs: mine };
  });
  await spine.drain();
}

async function nats(run: (open: Open) => Promise<void>): Promise<void> {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port);
  await using other = await watched(server.port);
  await run(async (retention = KEPT) => ({
    mine: new AuditLog(await one.spine.blocks("audit", retention)),
    theirs: new AuditLog(await other.spine.blocks("audit", retention)),
  }));
}

const START: Anchor = { seq: 0, hash: NO_HASH };
const anchor = (seq: number, payload: Uint8Array): Anchor => ({ seq, hash: entryHash(payload) });

async function texts(log: AuditLog, after = 0): Promise<string[]> {
  const entries = await log.read(after, 1_000);
  return entries.map(({ cursor, payload }) => `${cursor} ${text(payload)}`);
}

const CASES: Readonly<Record<string, (open: Open) => Promise<void>>> = {
  async "entries have one order, and one that is not the next is refused"(open) {
    const { mine, theirs } = await open();
    assert.deepEqual([await mine.head(), await texts(mine)], [START, []]);
    await mine.append(bytes("one"), START);
    const one = anchor(1, bytes("one"));
    assert.deepEqual(await theirs.head(), one);
    await theirs.append(bytes("two"), one);
    assert.deepEqual(await texts(mine), ["1 one", "2 two"]);
    assert.deepEqual(await texts(mine, 1), ["2 two"]);
    for (const head of [START, one, anchor(7, bytes("two"))]) {
      await assert.rejects(theirs.append(bytes("late"), head), conflict);
    }
    const { first, last, first_ms = 0, bytes: size } = await theirs.status();
    assert.deepEqual([first, last, size > 0], [1, 2, true]);
    assert.ok(Math.abs(first_ms - Date.now()) < 60_000);
  },
  async "of many who append at once one wins"(open) {
    const { mine, theirs } = await open();
    const appends = Array.from(
      { length: 20 },
      (_, at) => [mine, theirs][at % 2]!.append(bytes(`entry ${at}`), START),
    );
    const outcomes = await Promise.allSettled(appends);
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    assert.equal((await texts(mine)).length, 1);
  },
  async "an entry that is stored already is stored once"(open) {
    const { mine, theirs } = await open();
    await mine.append(bytes("one"), START);
    await theirs.append(bytes("one"), START);
    assert.deepEqual(await texts(mine), ["1 one"]);
  },
  async "a full log loses its oldest entries"(open) {
    const { mine } = await open({ ...KEPT, max_bytes: 65_536 });
    for (let at = 0; at < 20; at++) {
      await mine.append(new Uint8Array(8_000).fill(at), await mine.head());
    }
    const page = await mine.read(0, 100);
    assert.ok(page.length >= 4 && page.length < 9, `${page.length} entries are there`);
    const { first, last } = await mine.status();
    assert.deepEqual([first, last, page.at(-1)?.cursor], [page[0]?.cursor, 20, 20]);
  },
  async "numbers continue where all entries have expired"(open) {
    const { mine, theirs } = await open({ ...KEPT, max_age_seconds: 1 });
    await mine.append(bytes("old"), START);
    await until("it is removed", async () => {
      await open({ ...KEPT, max_age_seconds: 1 });
      return (await texts(mine)).length === 0;
    });
    assert.deepEqual(await mine.head(), { seq: 1, hash: NO_HASH });
    const { first, last, first_ms } = await mine.status();
    assert.deepEqual([first, last, first_ms], [2, 1, undefined]);
    await assert.rejects(theirs.append(bytes("new"), anchor(1, bytes("old"))), conflict);
    await theirs.append(bytes("new"), await theirs.head());
    assert.deepEqual(await texts(mine), ["2 new"]);
  },
  async "entries follow the age that is configured now"(open) {
    const { mine } = await open({ ...KEPT, max_age_seconds: 1 });
    await open({ ...KEPT, max_age_seconds: 3_600 });
    await mine.append(bytes("one"), START);
    assert.deepEqual(await texts(mine), ["1 one"]);
    await until("it is older than the new age", async () => {
      await open({ ...KEPT, max_age_seconds: 1 });
      return (await texts(mine)).length === 0;
    });
  },
};

for (const [engine, on] of Object.entries({ embedded, nats })) {
  for (const [behaviour, run] of Object.entries(CASES)) {
    Deno.test(`${engine}, the audit log: ${behaviour}`, () => on(run));
  }
}
