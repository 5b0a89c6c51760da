/** The entries that a tree takes from a room's log: the epochs of its messages, and the places of erased ones. */
import assert from "node:assert/strict";
import { encodeLeaf, payloadHash } from "../../shared/proof/entry.ts";
import { roomEpoch } from "../../shared/rooms/epoch.ts";
import { LIVES_MAX } from "../../shared/spine/contract/lives.ts";
import { testSpine } from "../testing/spine.ts";
import { leafAt, type Position, type RecordSource, roomSource } from "./sources.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const RETENTION = { history_size: 100, history_ttl_seconds: 3_600, replicas: undefined };

async function world() {
  const engine = testSpine();
  const log = await engine.spine.log("acme", RETENTION);
  const fill = (count: number) =>
    Promise.all(Array.from({ length: count }, () => log.append("bets", new Uint8Array(1))));
  return { engine, log, fill };
}

/** The next entries after the end of a tree whose last entry is the one before them. */
async function next(source: RecordSource, position: Position) {
  const { entries, end } = await source.read(position);
  assert(source.isEnd!(end, entries.at(-1)!));
  return { end, entries };
}

Deno.test("a message has the epoch in which it was stored, also when a tree reads it in a later epoch", async () => {
  const { engine, log, fill } = await world();
  await using _ = engine;
  const promised = (await fill(2)).map((stored) => leafAt(log, "bets", stored));
  const leaves = await Promise.all(promised);
  const lives = [...log.lives, { name: "later", first: 3 }];
  const later = overriding(log, {
    lives,
    read: async (...given) => ({ ...await log.read(...given), stream: "later" }),
  });
  const source = roomSource(() => Promise.resolve(later), "bets");
  const first = await next(source, { stream: "", offset: 0 });
  assert.deepEqual(first.entries.map(encodeLeaf), leaves);
  // Who publishes it again gets the receipt of the entry.
  const repeated = { offset: 1, duplicate: true, stream: log.stream };
  assert.deepEqual(await leafAt(later, "bets", repeated), leaves[0]);
  await fill(1);
  const { entries } = await next(source, first.end);
  assert.deepEqual(entries.map(({ epoch }) => epoch), [roomEpoch("later", "bets")]);
});

Deno.test("a room that is idle for more lives than its log remembers is no other log", async () => {
  const { engine, log, fill } = await world();
  await using _ = engine;
  await fill(2);
  const source = roomSource(() => Promise.resolve(log), "bets");
  const { end } = await next(source, { stream: "", offset: 0 });
  const all = Array.from({ length: LIVES_MAX }, (_, at) => ({ name: `life ${at}`, first: 3 }));
  await fill(1);
  for (
    const [lives, shown] of [
      [all, [3]],
      // A log that forgets nothing does not know its life, or has given the offset again.
      [all.slice(1), ["lost", 1, 2, 3]],
      [all.with(0, { name: "life 0", first: 2 }), ["lost", 1, 2, 3]],
    ] as const
  ) {
    const later = overriding(log, {
      lives,
      read: async (...given) => ({ ...await log.read(...given), stream: lives.at(-1)!.name }),
    });
    const { entries } = await next(roomSource(() => Promise.resolve(later), "bets"), end);
    assert.deepEqual(entries.map((one) => "break" in one ? one.break : one.offset), shown);
  }
});

Deno.test("a message has a receipt although the first replicas that are read do not show it yet", async () => {
  const { engine, log, fill } = await world();
  await using _ = engine;
  const stored = (await fill(2))[0]!;
  const leaf = await leafAt(log, "bets", stored);
  let late = 2;
  const lagging = overriding(log, {
    read: async (...given) => {
      const page = await log.read(...given);
      return late-- > 0 ? { ...page, messages: [], more: false } : page;
    },
  });
  assert.deepEqual(await leafAt(lagging, "bets", stored), leaf);
  await assert.rejects(leafAt(log, "bets", { ...stored, stream: "other" }), /does not show it/);
});

Deno.test("a message that was erased before the tree read it is a break at its place, not earlier", async () => {
  const { engine, log, fill } = await world();
  await using _ = engine;
  const source = roomSource(() => Promise.resolve(log), "bets");
  const shown: string[] = [];
  let end: Position = { stream: "", offset: 0 };
  const read = async () => {
    const batch = await next(source, end);
    end = batch.end;
    for (const entry of batch.entries) {
      shown.push(`${"break" in entry ? entry.break : ""}${entry.offset}`);
    }
  };
  await fill(2);
  await read();
  await fill(3);
  await log.erase("bets", [1, 4]);
  await read();
  await fill(3);
  await log.erase("bets", [8]);
  await read();
  // Another erased message may not be shown yet: the next message reports it.
  await fill(1);
  await read();
  assert.equal(shown.join(" "), "1 2 3 gap4 5 6 7 gap8 9");
});

Deno.test("nothing is missing before the next offset, whatever the log can name", async () => {
  const { engine, log, fill } = await world();
  await using _ = engine;
  const unsure = overriding(log, {
    read: async (...given) => ({ ...await log.read(...given), complete: false }),
  });
  await fill(2);
  const source = roomSource(() => Promise.resolve(unsure), "bets");
  const { entries } = await next(source, { stream: "", offset: 0 });
  assert.deepEqual(entries.map((entry) => "break" in entry), [false, false]);
});

Deno.test("messages in memory make the entries that the log would, and the log is not read", async () => {
  const { engine, log, fill } = await world();
  await using _ = engine;
  const open = () => Promise.resolve(log);
  await fill(2);
  const { end } = await next(roomSource(open, "bets"), { stream: "", offset: 0 });
  await fill(3);
  const { messages } = await log.read("bets", { after: end.offset, limit: 10, max_bytes: 100 });
  const unread = overriding(log, { read: () => Promise.reject(new Error("it is read")) });
  const source = roomSource(
    () => Promise.resolve(unread),
    "bets",
    (after) =>
      messages.filter(({ offset }) => offset > after.offset).map(
        ({ offset, time_ms, payload }) => ({
          offset,
          time_ms,
          envelope: payload,
          text: offset === 4 ? "its text" : undefined,
        }),
      ),
  );
  const expected = await roomSource(open, "bets").read(end);
  const entries = expected.entries.with(1, {
    ...expected.entries[1]!,
    sha256: payloadHash("its text"),
  });
  assert.deepEqual(await source.read(end), { ...expected, entries });
  await assert.rejects(source.read(expected.end), /it is read/);
});
