/** The index of subscribers against a search through all of them, over random changes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { SubjectIndex, type Subscriber } from "./subject_index.ts";

const SUBJECTS = ["a.b", "a.c", "a.b.c", "b"];
const PATTERNS = [...SUBJECTS, "a.*", "a.>", "*.b", ">"];
const QUEUES = [undefined, undefined, "q", "r"];

/** As NATS has it: `*` is one token, `>` is one or more. */
const matches = (pattern: string, subject: string) =>
  new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(">", ".+")}$`)
    .test(subject);

interface Change {
  readonly pattern: string;
  readonly queue: string | undefined;
  /** Which of those that are there goes; undefined: one comes. */
  readonly leaves: number | undefined;
}

const change = fc.record<Change>({
  pattern: fc.constantFrom(...PATTERNS),
  queue: fc.constantFrom(...QUEUES),
  leaves: fc.option(fc.nat(20), { nil: undefined }),
});

/** Of each group one, and everybody who is in none. */
function requireReceivers(index: SubjectIndex<Subscriber>, all: Set<Subscriber>, subject: string) {
  const due = [...all].filter(({ pattern }) => matches(pattern, subject));
  const found = index.receivers(subject);
  const lone = (some: readonly Subscriber[]) => new Set(some.filter(({ queue }) => !queue));
  assert.deepEqual(lone(found), lone(due));
  const groups = (some: readonly Subscriber[]) =>
    some.flatMap(({ queue }) => queue ?? []).toSorted();
  assert.deepEqual(groups(found), [...new Set(groups(due))]);
  for (const one of found) assert.ok(due.includes(one), one.pattern);
  assert.equal(new Set(found).size, found.length, "nobody twice");
}

Deno.test("those are found who hear a subject, whoever has come and gone", () => {
  fc.assert(fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
    const index = new SubjectIndex<Subscriber>();
    const all = new Set<Subscriber>();
    for (const { pattern, queue, leaves } of changes) {
      const gone = leaves === undefined ? undefined : [...all][leaves];
      if (gone === undefined) {
        const one = { pattern, queue };
        all.add(one);
        index.add(one);
      } else {
        all.delete(gone);
        index.remove(gone);
      }
      for (const subject of SUBJECTS) requireReceivers(index, all, subject);
      assert.deepEqual(new Set(index.all()), all);
    }
  }));
});

Deno.test("each member of a group has its turn, also where patterns join in", () => {
  const index = new SubjectIndex<Subscriber>();
  const members = ["a.b", "a.*", "a.b"].map((pattern) => ({ pattern, queue: "q" }));
  for (const one of members) index.add(one);
  const taken = Array.from({ length: 6 }, () => index.receivers("a.b")[0]!);
  for (const one of members) assert.equal(taken.filter((other) => other === one).length, 2);
});

Deno.test("what is no exact subject is refused", () => {
  const index = new SubjectIndex<Subscriber>();
  for (const subject of ["a.*", "a.>", "", "a..b", "a b"]) {
    assert.throws(() => index.receivers(subject), TypeError, subject);
  }
});
