/** Conformance cases of ledgers; see `conformance.ts`. */
import assert from "node:assert/strict";
import { until } from "../../testing/until.ts";
import { type Bus, bytes, type Case, refusedWith, text } from "./conformance.ts";
import type { Ledger } from "../contract/ledger.ts";

const KEPT = { max_age_seconds: 3_600, max_bytes: 1_048_576 };

const nameOf = ({ name }: Bus) => `LEDGER_${name.toUpperCase().replaceAll("-", "_")}`;
const openBoth = (bus: Bus): Promise<[Ledger, Ledger]> =>
  Promise.all([bus.spine.ledger(nameOf(bus), KEPT), bus.other.ledger(nameOf(bus), KEPT)]);

async function texts(ledger: Ledger, after = 0): Promise<string[]> {
  const page = await ledger.read({ after, limit: 1_000 });
  return page.map(({ offset, payload }) => `${offset} ${text(payload)}`);
}

async function appendsInOrder(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  assert.equal(await mine.last(), undefined);
  assert.deepEqual(await mine.read({ after: 0, limit: 10 }), []);
  assert.equal(await mine.append(bytes("one"), 0), 1);
  assert.equal(await theirs.append(bytes("two"), 1), 2);
  assert.deepEqual(await texts(mine), ["1 one", "2 two"]);
  assert.deepEqual(await texts(mine, 1), ["2 two"]);
  assert.equal((await mine.read({ after: 0, limit: 1 })).length, 1);
  const last = await mine.last();
  assert.equal(`${last?.offset} ${text(last?.payload ?? bytes(""))}`, "2 two");
  const { entries, first_offset, last_offset, first_ms } = await theirs.status();
  assert.deepEqual({ entries, first_offset, last_offset }, {
    entries: 2,
    first_offset: 1,
    last_offset: 2,
  });
  assert.ok(first_ms !== undefined && Math.abs(first_ms - Date.now()) < 60_000);
}

async function refusesWhatIsNotNext(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  await mine.append(bytes("one"), 0);
  for (const after of [0, 2, 7]) {
    await assert.rejects(theirs.append(bytes("late"), after), refusedWith("version-conflict"));
  }
  assert.deepEqual(await texts(theirs), ["1 one"]);
}

async function letsOneOfManyWin(bus: Bus): Promise<void> {
  const ledgers = await openBoth(bus);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, at) => ledgers[at % 2]!.append(bytes(`entry ${at}`), 0)),
  );
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal((await texts(ledgers[0])).length, 1);
}

async function keepsTheNewest(bus: Bus): Promise<void> {
  const name = nameOf(bus);
  const ledger = await bus.spine.ledger(name, { ...KEPT, max_bytes: 65_536 });
  for (let at = 0; at < 20; at++) await ledger.append(new Uint8Array(8_192).fill(at), at);
  const page = await ledger.read({ after: 0, limit: 100 });
  assert.ok(page.length >= 4 && page.length < 9, `${page.length} entries are there`);
  assert.equal(page.at(-1)?.offset, 20);
  const { first_offset, last_offset } = await ledger.status();
  assert.deepEqual([first_offset, last_offset], [page[0]?.offset, 20]);
}

async function forgetsWhatIsOld(bus: Bus): Promise<void> {
  const name = nameOf(bus);
  const ledger = await bus.spine.ledger(name, { ...KEPT, max_age_seconds: 1 });
  await ledger.append(bytes("old"), 0);
  let after = 1;
  await until("the old entry is removed", async () => {
    await ledger.append(bytes(`new ${after}`), after);
    after++;
    // Offsets continue, so that a later entry is never mistaken for the first.
    return (await ledger.read({ after: 0, limit: 1 }))[0]?.offset !== 1;
  });
}

async function isApartFromBuckets(bus: Bus): Promise<void> {
  const name = nameOf(bus);
  const one = `${name}_1`;
  const two = `${name}_2`;
  const first = await bus.spine.ledger(one, KEPT);
  const second = await bus.spine.ledger(two, KEPT);
  await (await bus.spine.keyValue(one)).put(["1"], bytes("key"));
  await first.append(bytes("one"), 0);
  assert.deepEqual(await texts(second), []);
  assert.deepEqual(await texts(first), ["1 one"]);
  await assert.rejects(async () => await bus.spine.ledger("no-name", KEPT), TypeError);
}

/** What a ledger of every engine does. */
export const LEDGER_CASES: readonly Case[] = [
  { behaviour: "a ledger has one order for all who append", run: appendsInOrder },
  { behaviour: "a ledger refuses an entry that is not the next", run: refusesWhatIsNotNext },
  { behaviour: "of many who append at once to a ledger one wins", run: letsOneOfManyWin },
  { behaviour: "a ledger that is full loses its oldest entries", run: keepsTheNewest },
  { behaviour: "a ledger loses what is too old, and counts on", run: forgetsWhatIsOld },
  { behaviour: "ledgers are apart from each other and from buckets", run: isApartFromBuckets },
];
