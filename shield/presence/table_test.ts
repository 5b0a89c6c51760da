/** The member table: own and other Shields' members, notified changes, and views as folds of changes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { PresentMember } from "@arqon/proto";
import type { WrittenEntry } from "../../shared/presence/types.ts";
import {
  addForeign,
  countUsers,
  createTable,
  removeForeign,
  removeOwn,
  replaceForeign,
  reportedMembers,
  setOwn,
  takeChanges,
} from "./table.ts";
import type { MemberTable } from "./table.ts";
import { entryOf, written } from "./testing/port.ts";

const ids = (members: readonly PresentMember[] | undefined) =>
  members?.map(({ connection_id }) => connection_id) ?? [];
const tagOf = ({ writer, entry }: WrittenEntry) => ({ writer, counter: entry.counter });

Deno.test("an update whose leave follows its join does not remove the member", () => {
  const table = createTable();
  addForeign(table, written("b", 1));
  takeChanges(table);
  addForeign(table, written("b", 3, { connection_id: "c1", user_id: "u1", meta: "2" }));
  removeForeign(table, tagOf(written("b", 1)));
  assert.deepEqual(takeChanges(table)?.updates.map(({ meta }) => meta), ["2"]);
  assert.deepEqual(ids([...table.shown.values()]), ["c1"]);
});

Deno.test("users are counted by issuer and subject, connections by id", () => {
  const table = createTable();
  setOwn(table, entryOf(1, { user_id: "ann" }));
  addForeign(table, written("b", 2, { user_id: "ann" }));
  addForeign(table, written("b", 3, { user_id: "ann", issuer: "https://other.example.com" }));
  assert.deepEqual([table.shown.size, table.users.size], [3, 2]);
  removeOwn(table, "c1");
  assert.deepEqual([table.shown.size, table.users.size], [2, 2]);
  removeForeign(table, tagOf(written("b", 3)));
  assert.deepEqual([table.shown.size, table.users.size], [1, 1]);
});

Deno.test("a connection id with two members stays while one of them has it", () => {
  const table = createTable();
  addForeign(table, written("b", 1, { connection_id: "x", user_id: "first" }));
  addForeign(table, written("d", 1, { connection_id: "x", user_id: "second" }));
  assert.deepEqual([...table.shown.values()].map(({ user_id }) => user_id), ["second"]);
  removeForeign(table, tagOf(written("d", 1)));
  assert.deepEqual([...table.shown.values()].map(({ user_id }) => user_id), ["first"]);
  setOwn(table, entryOf(1, { connection_id: "x", user_id: "own" }));
  removeForeign(table, tagOf(written("b", 1)));
  assert.deepEqual([...table.shown.values()].map(({ user_id }) => user_id), ["own"]);
});

type Step =
  | { readonly do: "own" | "unown"; readonly id: number; readonly meta: string }
  | { readonly do: "add" | "remove"; readonly node: number; readonly id: number }
  | { readonly do: "replace"; readonly kept: readonly number[] }
  | { readonly do: "tell" };

const id = fc.integer({ min: 1, max: 6 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom("own", "unown"), id, meta: fc.constantFrom("", "1", "2") }),
  fc.record({ do: fc.constantFrom("add", "remove"), node: fc.integer({ min: 1, max: 2 }), id }),
  fc.record({ do: fc.constant("replace"), kept: fc.array(id, { maxLength: 4 }) }),
  fc.record({ do: fc.constant("tell") }),
);

/** Ids 1 to 3 are node 1's, the others node 2's: a connection is on one node only. */
const foreign = (node: number, counter: number): WrittenEntry =>
  written(`n${node}`, counter, {
    connection_id: `f${node}-${counter}`,
    user_id: `u${counter % 3}`,
  });

function apply(table: MemberTable, step: Step): void {
  switch (step.do) {
    case "own":
      return setOwn(table, entryOf(step.id, { connection_id: `o${step.id}`, meta: step.meta }));
    case "unown":
      return removeOwn(table, `o${step.id}`);
    case "add":
      return addForeign(table, foreign(step.node, step.id));
    case "remove":
      return removeForeign(table, tagOf(foreign(step.node, step.id)));
    case "replace":
      return replaceForeign(table, step.kept.map((counter) => foreign(1, counter)));
  }
}

Deno.test("the notified changes, applied in order, equal the view at every moment", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const table = createTable();
    const view = new Map<string, PresentMember>();
    for (const step of steps) {
      apply(table, step);
      assert.deepEqual(
        sorted(reportedMembers(table)),
        sorted([...view.values()]),
        "notified so far",
      );
      if (step.do === "tell") {
        const changes = takeChanges(table);
        for (const { connection_id } of changes?.leaves ?? []) {
          assert(view.delete(connection_id), "only present members leave");
        }
        for (const member of changes?.updates ?? []) {
          assert.notDeepEqual(view.get(member.connection_id), member, "an update has a change");
          view.set(member.connection_id, member);
        }
        assert.deepEqual(sorted([...view.values()]), sorted([...table.shown.values()]));
      }
      assert.equal(table.users.size, countUsers([...table.shown.values()]));
    }
  }));
});

function sorted(members: readonly PresentMember[]): PresentMember[] {
  return [...members].sort((a, b) => a.connection_id < b.connection_id ? -1 : 1);
}
