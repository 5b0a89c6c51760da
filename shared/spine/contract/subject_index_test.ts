/** Properties of the index of subscribers, compared with a search through all of them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { SubjectIndex, type Subscriber } from "./subject_index.ts";

const token = fc.constantFrom("a", "b", "c", "in", "t");
const exact = fc.array(token, { minLength: 1, maxLength: 5 });
const wild = fc.tuple(
  fc.array(fc.oneof(token, fc.constant("*")), { minLength: 1, maxLength: 4 }),
  fc.boolean(),
).map(([tokens, open]) => open ? [...tokens, ">"] : tokens);

/** NATS' rules as a regular expression: slow and obvious. */
function asRegExp(pattern: readonly string[]): RegExp {
  const parts = pattern.map((part) => part === "*" ? "[^.]+" : part === ">" ? ".+" : part);
  return new RegExp(`^${parts.join("\\.")}$`);
}

Deno.test("the index finds exactly the subscribers whose pattern matches", () => {
  fc.assert(fc.property(fc.array(fc.oneof(exact, wild), { maxLength: 20 }), exact, (rows, to) => {
    const index = new SubjectIndex<{ pattern: string; queue: undefined; number: number }>();
    const subscribers = rows.map((row, number) => ({
      pattern: row.join("."),
      queue: undefined,
      number,
    }));
    subscribers.forEach((one) => index.add(one));
    const removed = subscribers.filter((one) => one.number % 3 === 2);
    removed.forEach((one) => index.remove(one));
    const found = index.receivers(to.join(".")).map((one) => one.number);
    const expected = subscribers.filter((one) =>
      !removed.includes(one) && asRegExp(one.pattern.split(".")).test(to.join("."))
    );
    assert.deepEqual(found.sort((a, b) => a - b), expected.map((one) => one.number));
    assert.equal([...index.all()].length, subscribers.length - removed.length);
  }));
});

/** So few that each is subscribed, unsubscribed and matched by patterns many times in a run. */
const FEW = [["a"], ["a", "b"], ["a", "b", "c"]];
const FEW_PATTERNS = [...FEW, ["a", "*"], ["a", ">"], ["*", "b"], [">"]];

/** One of each group, and everybody without a group. */
function requireReceivers(
  index: SubjectIndex<Subscriber>,
  present: readonly Subscriber[],
  subject: string,
) {
  const expected = present.filter(({ pattern }) => asRegExp(pattern.split(".")).test(subject));
  const found = index.receivers(subject);
  const lone = (some: readonly Subscriber[]) => new Set(some.filter(({ queue }) => !queue));
  assert.deepEqual(lone(found), lone(expected));
  const groups = (some: readonly Subscriber[]) =>
    some.flatMap(({ queue }) => queue ?? []).toSorted();
  assert.deepEqual(groups(found), [...new Set(groups(expected))]);
  for (const one of found) assert.ok(expected.includes(one), one.pattern);
  assert.equal(new Set(found).size, found.length, "nobody twice");
}

Deno.test("a subscription that begins or ends between two messages takes effect at once", () => {
  const row = fc.record({
    pattern: fc.oneof(fc.constantFrom(...FEW_PATTERNS), exact, wild),
    queue: fc.constantFrom(undefined, undefined, "q", "r"),
    adds: fc.boolean(),
    at: fc.nat(9),
  });
  fc.assert(fc.property(fc.array(row, { maxLength: 30 }), exact, (changes, to) => {
    const index = new SubjectIndex<Subscriber>();
    let present: Subscriber[] = [];
    for (const { pattern, queue, adds, at } of changes) {
      const leaver = present[at];
      if (adds || leaver === undefined) {
        const one = { pattern: pattern.join("."), queue };
        present.push(one);
        index.add(one);
      } else {
        present = present.filter((one) => one !== leaver);
        index.remove(leaver);
      }
      for (const subject of [...FEW, to]) requireReceivers(index, present, subject.join("."));
      assert.deepEqual(new Set(index.all()), new Set(present));
    }
  }));
});

Deno.test("a queue group gives each of its members the same share", () => {
  const index = new SubjectIndex<{ pattern: string; queue: string; taken: number }>();
  const members = Array.from({ length: 3 }, () => ({ pattern: "a", queue: "q", taken: 0 }));
  members.forEach((member) => index.add(member));
  for (let n = 0; n < 300; n++) for (const member of index.receivers("a")) member.taken++;
  assert.deepEqual(members.map((member) => member.taken), [100, 100, 100]);
});

Deno.test("each member of a group has its turn, also where patterns join in", () => {
  const index = new SubjectIndex<Subscriber>();
  const members = ["a.b", "a.*", "a.b"].map((pattern) => ({ pattern, queue: "q" }));
  for (const one of members) index.add(one);
  const taken = Array.from({ length: 6 }, () => index.receivers("a.b")[0]!);
  for (const one of members) assert.equal(taken.filter((other) => other === one).length, 2);
});

Deno.test("a subject with a wildcard is refused", () => {
  const index = new SubjectIndex<Subscriber>();
  for (const subject of ["a.*", "a.>", "", "a..b", "a b"]) {
    assert.throws(() => index.receivers(subject), TypeError, subject);
  }
});
