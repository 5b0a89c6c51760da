// The messages that a page has seen, compared with PostgreSQL's snapshots, and invalid positions.
// tests/bridge_page_test.ts checks on a real database that nothing is missed or repeated.
import assert from "node:assert/strict";
import fc from "fast-check";
import { readHistoryQuery, writeEnvelope, writeHistory } from "@arqon/proto";
import { replay } from "./history.ts";
import type { Message, SubscribeOptions } from "./mod.ts";
import { subscribeSince } from "./postgres.ts";
import type { Reader } from "./subscription/subscription.ts";
import { newEntry, newLoop, subTermsOf } from "./subscription/room_entry.ts";

const TAKEN_MS = 1_795_606_200_000;

/** The messages shown by a page, from these messages of a room, newest last. */
async function shownOf(taken: string, messages: readonly Partial<Message>[]): Promise<unknown[]> {
  const stored = messages.map((message, at) => ({
    offset: at + 1,
    timestamp_ms: TAKEN_MS,
    event: { type: "x" },
    ...message,
  }));
  const page = (query: Uint8Array) => {
    const { after, before, reverse } = readHistoryQuery(query);
    const asked = stored.filter(({ offset }) => offset > after && (!before || offset < before));
    const found = (reverse ? asked.reverse() : asked).map((one) => writeEnvelope(one));
    return writeHistory({ messages: found, offset: stored.length, epoch: "e", more: false });
  };
  const room = {
    id: "orders",
    command: (_: string, query: Uint8Array) => Promise.resolve({ bytes: page(query) }),
    subscribe: ({ begin, position }: SubscribeOptions) => {
      assert.ok(begin || position?.offset === 0);
      const entry = newEntry("orders", subTermsOf("orders", {}), new Uint8Array(), undefined);
      newLoop(entry, {}, () => TAKEN_MS, () => {}, () => Promise.reject());
      const [{ buffer }] = [...entry.readers] as [Reader];
      const starts = begin ?? replay({ from: "start" });
      starts(entry, room, TAKEN_MS).then(() => buffer.end(undefined));
      return { [Symbol.asyncIterator]: () => buffer, [Symbol.dispose]() {} };
    },
  } as unknown as Parameters<typeof subscribeSince>[0];
  const shown: unknown[] = [];
  for await (const { offset } of subscribeSince(room, taken)) shown.push(offset);
  return shown;
}

Deno.test("messages in a snapshot are omitted, and all others delivered, also when ids wrap around", async () => {
  const wrap = 2n ** 32n;
  const near = fc.bigInt({ min: -2_000n, max: 2_000n });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(5_000n, wrap, 3n * wrap + 5n, wrap + 2n ** 31n),
      fc.array(near, { maxLength: 20 }),
      fc.array(near, { maxLength: 20 }),
      async (next, others, open_ids) => {
        const open = new Set(open_ids.map((id) => next + id).filter((id) => id < next && id > 0n));
        const lowest = [...open].reduce((least, id) => id < least ? id : least, next);
        const ids = [...others.map((id) => next + id).filter((id) => id > 0n), ...open];
        const taken = `0/1A2B3C8;${lowest}:${next}:${[...open].join(",")};${TAKEN_MS}`;
        const headers = (id: bigint) => ({ "pg-xid": String(id % wrap), "pg-commit-ms": "0" });
        const messages = ids.map((id) => ({
          headers: { ...headers(id), "pg-commit-ms": String(TAKEN_MS - 5) },
        }));
        const wanted = ids.flatMap((id, at) => id >= next || open.has(id) ? [at + 1] : []);
        assert.deepEqual(await shownOf(taken, messages), wanted);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("long after, and past the database, the time decides", async () => {
  const taken = `0/1;100:100:;${TAKEN_MS}`;
  const late = { "pg-xid": "7", "pg-commit-ms": String(TAKEN_MS + 61_000) };
  assert.deepEqual(
    await shownOf(taken, [
      { headers: { "pg-xid": "200", "pg-commit-ms": String(TAKEN_MS - 60_001) } },
      { headers: { "pg-xid": "99", "pg-commit-ms": String(TAKEN_MS - 1) } },
      { timestamp_ms: TAKEN_MS - 1 },
      { timestamp_ms: TAKEN_MS },
      { headers: late },
    ]),
    [4, 5],
  );
});

Deno.test("an invalid position is refused, with the expected form", async () => {
  for (const taken of ["", "0/1", "0/1;1:2;3", "0/1;1:2:;x", "0/1;a:2:;3", `${"9".repeat(999)}`]) {
    await assert.rejects(shownOf(taken, []), /expected what arqon\.position\(\) gives/);
  }
});
