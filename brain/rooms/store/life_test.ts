/**
 * Lives of the stored rooms: how they change documents, and what proves that a life continues. The stored form of a
 * room document: round trips, and foreign bytes.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  afterwards,
  answer,
  anyCommand,
  applied,
  get,
  lock,
  set,
  unlock,
} from "../testing/command_samples.ts";
import { emptyDocument, type Life, type RoomDocument } from "./document.ts";
import { firstNumber, inLife } from "./life.ts";
import {
  decodeRecord,
  encodeRecord,
  firstRecord,
  goesOn,
  nextRecord,
  vouchedRevision,
} from "../lives/room_lives.ts";
import { decodeDocument, encodeDocument, settleDocument } from "./stored_document.ts";
import { ArqonError } from "@arqon/proto";

const START_MS = 1_795_161_268_967;
const life = (id: string, since_ms: number): Life => ({ id, since_ms });

/** A bucket with one room, as in a copy of it. */
interface Copy {
  readonly revision: number;
  readonly bytes: Uint8Array | undefined;
}

Deno.test("over any copies no version of an epoch and no fence is used twice, and both grow", () => {
  const Step = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("set", "lock", "unlock") },
    { weight: 1, arbitrary: fc.constantFrom("copy", "restore", "restart", "wipe") },
  );
  fc.assert(fc.property(fc.array(Step, { maxLength: 60 }), (steps) => {
    let now_ms = START_MS;
    let lives = 0;
    let present = life("life0", now_ms);
    let copy: Copy = { revision: 0, bytes: undefined };
    const copies: Copy[] = [copy];
    const positions = new Set<string>();
    let highest = 0;
    let fence = 0;
    const load = (): RoomDocument =>
      copy.bytes === undefined
        ? { ...emptyDocument(), life: present }
        : inLife(decodeDocument(copy.bytes, copy.revision), present);
    for (const step of steps) {
      now_ms += 1;
      if (step === "copy") copies.push(copy);
      if (step === "restore") copy = copies[copies.length - 1] as Copy;
      if (step === "wipe") copy = { revision: 0, bytes: undefined };
      if (["restore", "restart", "wipe"].includes(step)) present = life(`life${++lives}`, now_ms);
      const command = step === "set" ? set("k", 1) : step === "lock" ? lock("c1") : unlock("c1");
      if (!["set", "lock", "unlock"].includes(step)) continue;
      const context = { now_ms, first_version: firstNumber(now_ms) };
      const before = load();
      const { document, fresh } = applied(before, [command], context);
      if (fresh.length === 0) continue;
      copy = { revision: copy.revision + 1, bytes: encodeDocument(document) };
      const after = load();
      const position = `${after.epoch} ${after.version}`;
      assert.ok(!positions.has(position), position);
      positions.add(position);
      assert.ok(after.version > highest && Number.isSafeInteger(after.version));
      highest = after.version;
      if (after.last_fence !== before.last_fence) {
        assert.ok(after.last_fence > fence && Number.isSafeInteger(after.last_fence));
        fence = after.last_fence;
      }
    }
  }));
});

Deno.test("a document of an earlier incarnation keeps its state and lock, and has no earlier events", () => {
  const first = life("a", START_MS);
  const context = { now_ms: START_MS, first_version: firstNumber(START_MS) };
  const empty = { ...emptyDocument(), life: first };
  const { document } = applied(empty, [set("k", 1), lock("c1", 60_000)], context);
  const stored = decodeDocument(encodeDocument(document), 7);
  assert.equal(inLife(stored, first), stored, "the same life changes nothing");
  const later = inLife(stored, life("b", START_MS + 5));
  assert.deepEqual(
    later,
    inLife(stored, life("b", START_MS + 5)),
    "every Brain makes the same of it",
  );
  assert.notEqual(later.epoch, stored.epoch);
  assert.equal(later.version, firstNumber(START_MS + 5));
  assert.deepEqual([later.entries, later.lock, later.events], [stored.entries, stored.lock, []]);
  const read = answer(later, get(undefined, { events_after: 0 }));
  assert.ok(typeof read === "object" && read !== null && "truncated" in read);
  const clock_back = inLife(stored, life("c", START_MS - 60_000));
  assert.equal(clock_back.version, stored.version + 1, "versions never go back");
});

Deno.test("a command of an earlier incarnation is answered as before, over several incarnations", () => {
  const once = (n: number) => ({ ...set(`k${n}`, n), command_key: `u1 ${n}` });
  const outcome = (document: RoomDocument, n: number) => applied(document, [once(n)]).outcomes[0];
  let document: RoomDocument = { ...emptyDocument(), life: life("0", START_MS) };
  const first: unknown[] = [];
  for (let n = 0; n < 4; n++) {
    const done = applied(document, [once(n)]);
    document = decodeDocument(encodeDocument(done.document), 7 + n);
    first.push(outcome(document, n));
    document = inLife(document, life(`${n + 1}`, START_MS + 5 * (n + 1)));
    document = decodeDocument(encodeDocument(document), 7);
  }
  assert.deepEqual([0, 1, 2, 3].map((n) => outcome(document, n)), first);
  assert.equal(new Set(first.map((one) => (one as { epoch: string }).epoch)).size, 4);
});

Deno.test("the record continues where it contains a known change, and nowhere else", () => {
  const record = nextRecord(nextRecord(firstRecord("a", START_MS, "b1"), "b2"), "b3");
  const known = (revision: number, beat: string, id = "a") => ({
    id,
    revision,
    beat,
    highest: revision,
  });
  const stand = { revision: 30, record };
  assert.ok(goesOn(stand, known(30, "b3")));
  assert.ok(goesOn(stand, known(20, "b2")));
  assert.ok(!goesOn(stand, known(40, "b4")), "an older copy");
  assert.ok(!goesOn(stand, known(30, "b9")), "another change at that revision");
  assert.ok(!goesOn(stand, known(25, "b9")), "a copy that others have written to");
  assert.ok(goesOn(stand, known(20, "z1", "z")), "a life that began since then");
  assert.ok(!goesOn({ revision: 0, record: undefined }, known(20, "b2")), "nothing is there");
  let long = record;
  for (let number = 0; number < 200; number++) long = nextRecord(long, `n${number}`);
  assert.ok(!goesOn({ revision: 300, record: long }, known(30, "b3")), "too long ago to say");
  assert.deepEqual(decodeRecord(encodeRecord(long)), long);
  assert.equal(decodeRecord(new TextEncoder().encode('{"format":0}')), undefined);
});

Deno.test("a copy is older for a process that knows more, whatever others that know less report", () => {
  const record = nextRecord(firstRecord("a", START_MS, "b1"), "b2");
  const stored = { revision: 20, record };
  const tail = (revision: number, beat: string, highest: number, id = "a") => (
    { id, revision, beat, highest }
  );
  const own = (revision: number, beat: string, highest: number, since_ms = START_MS) => (
    { ...tail(revision, beat, highest), since_ms }
  );
  // A Shield that missed the last change: it knows the record as it is in the copy.
  const late = tail(20, "b2", 24);
  assert.equal(vouchedRevision(stored, [late], undefined), 24);
  assert.equal(vouchedRevision(stored, [late], own(30, "b3", 33)), undefined, "known further");
  assert.equal(vouchedRevision(stored, [late], own(20, "b9", 20)), undefined, "another change");
  assert.equal(
    vouchedRevision(stored, [late], own(20, "b2", 29)),
    29,
    "what it wrote itself counts",
  );
  assert.equal(vouchedRevision(stored, [late], own(12, "b0", 13)), 24, "away for long");
  const earlier = own(30, "z3", 33, START_MS - 1);
  assert.equal(vouchedRevision(stored, [late], earlier), 24, "another life began since then");
  assert.equal(vouchedRevision(stored, [late, tail(30, "b3", 33)], undefined), undefined);
  assert.equal(
    vouchedRevision(stored, [tail(10, "b7", 10)], undefined),
    undefined,
    "nobody says so",
  );
  assert.equal(vouchedRevision(stored, [], undefined), undefined);
  assert.equal(vouchedRevision({ revision: 0, record: undefined }, [late], undefined), undefined);
});

const commands = fc.array(anyCommand, { maxLength: 40 });
const utf8 = new TextEncoder();

Deno.test("the stored form reads back as the same document", () => {
  fc.assert(fc.property(commands, fc.integer({ min: 1 }), (list, revision) => {
    const document = afterwards(list);
    if (document.version === 0) return;
    const bytes = encodeDocument(document);
    const settled = settleDocument(document, revision);
    assert.deepEqual(decodeDocument(bytes, revision), settled);
    assert.equal(settled.epoch, String(revision));
    assert.deepEqual(decodeDocument(encodeDocument(settled), revision + 1), settled);
  }));
});

Deno.test("only a write's own revision is filled in later, in the lock, its event and its answer", () => {
  const document = decodeDocument(
    encodeDocument(afterwards([set("k", 1), lock("c1", 500, { command_key: "x" })])),
    41,
  );
  assert.equal(document.lock?.fence, 41);
  assert.deepEqual(document.events.map(({ fence }) => fence), [undefined, 41]);
  assert.equal(document.applied.get("x")?.grant?.fence, 41);
  const later = decodeDocument(
    encodeDocument(afterwards([unlock("c1"), lock("c2")], document)),
    50,
  );
  assert.deepEqual(later.events.map(({ fence }) => fence), [undefined, 41, 41, 50]);
  assert.equal(later.epoch, "41");
});

Deno.test("a room created by its first member is version 0 with an epoch", () => {
  const born = { ...emptyDocument(), created_ms: 5 };
  const document = decodeDocument(encodeDocument(born), 9);
  assert.deepEqual(document, { ...born, epoch: "9" });
  assert.deepEqual(applied(document, [set("k", 1)]).document.created_ms, 5);
});

Deno.test("any other bytes in the bucket are one internal error", () => {
  const good = encodeDocument(afterwards([set("k", 1), lock("c1")]));
  const header = (members: object) =>
    JSON.stringify({
      format: 3,
      version: 1,
      epoch: "",
      created_ms: 1,
      entries: 0,
      events: 0,
      applied: [],
      start: 0,
      last_fence: 0,
      ...members,
    });
  decodeDocument(utf8.encode(`${header({})}\n`), 1);
  const broken = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.nat(good.length - 1).map((end) => good.slice(0, end)),
    fc.constantFrom(
      "\n",
      "{}\n",
      `${header({ format: 2 })}\n`,
      `${header({ version: -1 })}\n`,
      `${header({ applied: [["c", 1]] })}\n`,
      `${header({ applied: [["c", 1, 1, 1]] })}\n`,
      `${header({ entries: 1 })}\n`,
      `${header({ entries: 1 })}\n1\t2\n`,
      `${header({ entries: 1 })}\n"k" 2\n`,
      `${header({ events: 1 })}\n1\t2\n`,
      `${header({ events: 1 })}\nx\t2\t\t"a":1\n`,
      `${header({ lock: {} })}\n`,
    ).map((text) => utf8.encode(text)),
  );
  fc.assert(fc.property(broken, (bytes) => {
    assert.throws(
      () => decodeDocument(bytes, 1),
      (error) => error instanceof ArqonError && error.reason === "internal",
    );
  }));
});
