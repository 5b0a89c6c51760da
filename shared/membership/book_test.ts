/** The membership of a room from entries, read from any position, and the due entries. */
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { type Book, BookReader, dueFor, dueTurn, emptyBook, listOf, MembersAt } from "./book.ts";
import { PAGE_MEMBERS, take } from "./book.ts";
import { type MembershipEntry, readEntry } from "./entry.ts";

const member = (connection_id: string) => ({
  user_id: `of ${connection_id}`,
  issuer: "i",
  connection_id,
  node_id: "s1",
  incarnation: 1,
  joined_ms: 5,
});
const known = ({ sequence, occupied, members }: Book) => ({
  sequence,
  occupied,
  members: [...members.values()].toSorted((a, b) => a.connection_id < b.connection_id ? -1 : 1),
});

/** Writes the entries needed to match `present`, with a list now and then. */
function write(book: Book, present: ReadonlySet<string>, with_list: boolean): MembershipEntry[] {
  const entries: MembershipEntry[] = [];
  const change = (due: ReturnType<typeof dueTurn>) => {
    if (due === undefined) return;
    take(book, due);
    entries.push(due);
  };
  for (const id of new Set([...present, ...book.members.keys()])) {
    const now = { member: present.has(id) ? member(id) : undefined, cause: "closed" as const };
    change(dueFor(book, id, now, 7));
  }
  change(dueTurn(book, 7));
  return with_list ? [...entries, ...listOf(book, 7)] : entries;
}

const present = fc.uniqueArray(fc.integer({ min: 0, max: 250 }), { maxLength: 220 })
  .map((all) => new Set(all.map((at) => `c${at}`)));

Deno.test("a book that is read from anywhere is the writer's, or not whole", () => {
  const rounds = fc.array(fc.tuple(present, fc.boolean()), { minLength: 1, maxLength: 8 });
  fc.assert(fc.property(rounds, fc.nat(), (all, from) => {
    const book = emptyBook();
    const log = all.flatMap(([now, with_list]) => write(book, now, with_list));
    const sequences = log.filter(({ type }) => type !== "present").map(({ data }) => data.sequence);
    assert.deepEqual(sequences, sequences.map((_, at) => at + 1), "no hole");
    const reader = new BookReader();
    // As it comes out of the log.
    for (const { type, data } of log.slice(log.length === 0 ? 0 : from % log.length)) {
      reader.read(readEntry(type, JSON.stringify(data)) ?? assert.fail(type));
    }
    if (reader.is_whole) assert.deepEqual(known(reader.book), known(book));
    assert.deepEqual([...book.members.keys()].toSorted(), [...all.at(-1)![0]].toSorted());
    assert.equal(book.occupied, book.members.size > 0);
  }));
});

Deno.test("each leave belongs to one earlier join, and the last leave vacates the room", () => {
  fc.assert(fc.property(fc.array(present, { maxLength: 8 }), (all) => {
    const book = emptyBook();
    const log = all.flatMap((now) => write(book, now, false));
    const inside = new Set<string>();
    let occupied = false;
    for (const { type, data } of log) {
      if (type === "joined") {
        assert.ok(!inside.has(data.connection_id));
        inside.add(data.connection_id);
      } else if (type === "left") assert.ok(inside.delete(data.connection_id));
      else {
        assert.equal(occupied, type === "vacated");
        occupied = type === "occupied";
      }
      if (type !== "present") assert.equal(data.members, inside.size);
    }
  }));
});

Deno.test("the members at a time are known from any list before or behind it, without an erased user", () => {
  const rounds = fc.array(fc.tuple(present, fc.boolean()), { minLength: 2, maxLength: 8 });
  const erased = fc.option(fc.integer({ min: 0, max: 250 }).map((at) => `c${at}`));
  fc.assert(fc.property(rounds, fc.nat(), erased, (all, picked, user) => {
    const book = emptyBook();
    const log = all.flatMap(([now, with_list], round) =>
      write(book, now, with_list || round === all.length - 1)
        .map((entry) => ({ ...entry, data: { ...entry.data, at_ms: round } }) as MembershipEntry)
    );
    // What names the user goes, except the list that was written since.
    const last = all.length - 1;
    const left = log.filter(({ data, type }) =>
      type === "present" && data.at_ms === last || !JSON.stringify(data).includes(`"${user}"`)
    );
    const round = picked % all.length;
    const then = new MembersAt(round);
    for (const entry of left) if (!then.read(entry)) break;
    const begins = left[0]?.data.at_ms ?? Infinity;
    if (round < begins) return assert.equal(then.members, undefined);
    const known = then.members?.map(({ connection_id }) => connection_id) ?? assert.fail("unknown");
    const wanted = [...all[round]![0]].filter((id) => id !== user);
    assert.deepEqual(known.filter((id) => id !== user).toSorted(), wanted.toSorted());
  }));
});

Deno.test("a list that began and did not end is ignored", () => {
  const book = emptyBook();
  const all = new Set(Array.from({ length: PAGE_MEMBERS + 1 }, (_, at) => `c${at}`));
  const log = write(book, all, true);
  const last = log.pop();
  const reader = new BookReader();
  for (const entry of log.slice(3)) reader.read(entry);
  assert.equal(reader.is_whole, false);
  const left = dueFor(book, "c0", { member: undefined, cause: "lost" }, 8) ?? assert.fail();
  reader.read(left);
  reader.read(last as MembershipEntry);
  assert.equal(reader.is_whole, false, "its end is another list's");
});

Deno.test("invalid entries are ignored, and members of a later version are kept", () => {
  assert.equal(readEntry("chat", "{}"), undefined);
  assert.equal(readEntry("__proto__", "{}"), undefined);
  assert.equal(readEntry("joined", "{"), undefined);
  assert.equal(readEntry("joined", '{"sequence":1}'), undefined);
  const data = { sequence: 1, at_ms: 2, members: 1, new: 3 };
  assert.deepEqual(readEntry("occupied", JSON.stringify(data)), { type: "occupied", data });
});
