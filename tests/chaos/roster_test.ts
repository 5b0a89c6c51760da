/** The comparison of lists finds whom a client misses, whom it still has, and what it has wrong. */
import assert from "node:assert/strict";
import { describeDifferences, findDifferences } from "./roster.ts";
import type { Attendee } from "./roster.ts";

const meta = (of: string) => ({ of, revision: 1 });
const member = (connection_id: string, user_id: string) => (
  [connection_id, { connection_id, user_id, meta: meta(user_id), joined_ms: 1 }] as const
);

/** Ann and Bob are in the room, Eve watches it; each has this list. */
function room(lists: Record<string, ReturnType<typeof member>[]>, users = 2): Attendee[] {
  return Object.entries(lists).map(([user_id, list]) => ({
    tenant_id: "acme",
    user_id,
    connection_id: `c-${user_id}`,
    stays: [{
      room_id: "lobby",
      observer: user_id === "eve",
      meta: user_id === "eve" ? null : meta(user_id),
      members: new Map(list),
      users,
    }],
  }));
}

const [ann, bob] = [member("c-ann", "ann"), member("c-bob", "bob")];

Deno.test("lists that are right differ in nothing", () => {
  assert.deepEqual(
    findDifferences(room({ ann: [ann, bob], bob: [bob, ann], eve: [ann, bob] })),
    [],
  );
});

Deno.test("missing members, ghosts, other metadata and other numbers are each found and named", () => {
  const other = ["c-bob", { ...bob[1], meta: meta("someone") }] as const;
  const ghost = member("c-old", "bob");
  const lists = room({ ann: [ann, bob, ghost], bob: [bob], eve: [ann, other] });
  const found = findDifferences(lists);
  assert.deepEqual(
    found.map(({ user_id, missing, ghosts, wrong }) => ({ user_id, missing, ghosts, wrong })),
    [
      { user_id: "ann", missing: [], ghosts: ["c-old"], wrong: [] },
      { user_id: "bob", missing: ["c-ann"], ghosts: [], wrong: [] },
      { user_id: "eve", missing: [], ghosts: [], wrong: ["c-bob"] },
    ],
  );
  assert.deepEqual(findDifferences(room({ ann: [ann, bob], bob: [ann, bob] }, 3)).length, 2);
  assert.deepEqual(describeDifferences(found, (id) => `<${id}>`, 2), [
    "acme/lobby: a list still has <c-old> [1 lists: ann]",
    "acme/lobby: a list misses <c-ann> [1 lists: bob]",
    "… and 1 more",
  ]);
});

Deno.test("who is not connected is in no list", () => {
  const [one, two] = room({ ann: [ann, bob], bob: [ann, bob] });
  const gone = { ...two as Attendee, connection_id: undefined };
  const found = findDifferences([one as Attendee, gone]);
  assert.deepEqual(found.map(({ user_id, ghosts }) => [user_id, ghosts]), [
    ["ann", ["c-bob"]],
    ["bob", ["c-bob"]],
  ]);
});
