/** Lives of a log, against a model that remembers every stored message. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeLives,
  encodeLives,
  lastOf,
  lifeAt,
  LIVES_MAX,
  newestLife,
  newLifeId,
  withLife,
} from "./lives.ts";
import type { Lives } from "./lives.ts";

/** A log with its lives, as in a copy of it. */
interface Copy {
  /** The message at each offset, from 1; all differ. */
  readonly messages: readonly number[];
  readonly lives: Lives;
}

const Step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("append" as const), count: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("copy" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("restore" as const), which: fc.nat() }) },
);

Deno.test("a position is accepted only if everything before it is unchanged, over any copies", () => {
  fc.assert(fc.property(fc.array(Step, { maxLength: 60 }), (steps) => {
    let log: Copy = { messages: [], lives: [{ name: "first", first: 0 }] };
    const copies: Copy[] = [log];
    /** Each position given to a client, with the messages before it. */
    const given: { life: string; offset: number; seen: readonly number[] }[] = [];
    let written = 0;
    let begun = 0;
    const begin = () => {
      const first = log.messages.length + 1;
      log = { ...log, lives: withLife(log.lives, `life${++begun}`, first) };
    };
    for (const step of steps) {
      if (step.kind === "copy") copies.push(log);
      if (step.kind === "restore") log = copies[step.which % copies.length] as Copy;
      if (step.kind === "restore" || step.kind === "restart") begin();
      for (let one = 0; step.kind === "append" && one < step.count; one++) {
        log = { ...log, messages: [...log.messages, ++written] };
      }
      const life = newestLife(log.lives).name;
      given.push({ life, offset: log.messages.length, seen: log.messages });
      for (const { life, offset, seen } of given) {
        const last = lastOf(log.lives, life);
        if (last === undefined || offset > last || offset > log.messages.length) continue;
        assert.deepEqual(log.messages.slice(0, offset), seen);
      }
    }
  }));
});

Deno.test("over restarts alone every position stays good, as long as its life is remembered", () => {
  const lengths = fc.array(fc.nat(3), { maxLength: LIVES_MAX - 2 });
  fc.assert(fc.property(lengths, (counts) => {
    let lives: Lives = [{ name: "first", first: 0 }];
    let end = 0;
    const given = [{ life: "first", offset: 0 }];
    for (const [at, count] of counts.entries()) {
      lives = withLife(lives, `life${at}`, end + 1);
      end += count;
      given.push({ life: `life${at}`, offset: end });
    }
    for (const { life, offset } of given) assert.ok(offset <= (lastOf(lives, life) ?? -1));
  }));
});

Deno.test("an offset belongs to its incarnation, and the oldest incarnations are forgotten", () => {
  let lives: Lives = [{ name: "a", first: 0 }];
  lives = withLife(lives, "b", 11);
  lives = withLife(lives, "c", 11);
  assert.deepEqual([lifeAt(lives, 10).name, lifeAt(lives, 11).name], ["a", "c"]);
  assert.deepEqual([lastOf(lives, "a"), lastOf(lives, "b"), lastOf(lives, "c")], [
    10,
    10,
    Infinity,
  ]);
  for (let at = 0; at < LIVES_MAX; at++) lives = withLife(lives, `more${at}`, 20 + at);
  assert.equal(lives.length, LIVES_MAX);
  assert.equal(lastOf(lives, "a"), undefined);
});

Deno.test("written incarnations are read back, and nothing else is", () => {
  const nameOf = (id: string) => id === "" ? "S" : `S~${id}`;
  const idOf = (name: string) => name.slice(2);
  const lives = [{ name: "S", first: 0 }, { name: "S~k3", first: 101 }];
  assert.equal(encodeLives(lives, idOf), ":0,k3:101");
  assert.deepEqual(decodeLives(":0,k3:101", nameOf), lives);
  for (const text of ["", "k3", "k3:", "k3:-1", "K:1", "a:5,b:4", "a:99999999999999999"]) {
    assert.equal(decodeLives(text, nameOf), undefined, text);
  }
  const ids = new Set(Array.from({ length: 1_000 }, () => newLifeId(Math.random)));
  assert.equal(ids.size, 1_000);
  for (const id of ids) assert.match(id, /^[0-9a-z]{14}$/);
});
