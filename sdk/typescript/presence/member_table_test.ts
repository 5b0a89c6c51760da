/**
 * The list of one room's members during a move: members missing in the next Shield's list, and when that is a leave.
 * Lists and pages of one Shield are conformance vectors (`conformance_test.ts`).
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isDeepStrictEqual } from "node:util";
import { encodePresenceLeave, encodePresenceUpdate } from "@arqon/proto";
import { seen, until } from "../../../shared/testing/until.ts";
import { MemberTable } from "./presence.ts";

const IDS = ["a", "b", "c", "d"] as const;
const OLD = {}, NEXT = {};

function memberOf(connection_id: string) {
  return { connection_id, user_id: connection_id, joined_ms: 1 };
}

function list(ids: readonly string[], pages = 1) {
  const { length } = ids;
  return { members: ids.map(memberOf), connections: length, users: length, pages };
}

function change(ids: readonly string[], snapshot = false) {
  const members = ids.map((id) => ({ ...memberOf(id), meta: "" }));
  return { members, connections: 1, users: 1, snapshot };
}

const join = (...ids: string[]) => encodePresenceUpdate(change(ids));
const page = (...ids: string[]) => encodePresenceUpdate(change(ids, true));
const leave = (...ids: string[]) => encodePresenceLeave(change(ids));

/** A table, and the reported leaves. */
function follow(hold_ms: number) {
  const table = new MemberTable();
  table.hold_ms = hold_ms;
  const left: string[] = [];
  let before = new Set<string>();
  table.listen(() => {
    left.push(...[...before].filter((id) => !table.members.has(id)));
    before = new Set(table.members.keys());
  });
  return { table, left };
}

/** Nothing that is held for this long is given up within a test. */
const LONG_MS = 600_000;

Deno.test("a member missing in the next Shield's list leaves after the hold time", async () => {
  const { table, left } = follow(5);
  table.begin(list(["a", "b"]), OLD);
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "b"], []]);
  await until("b's leave", () => !table.members.has("b"));
  assert.deepEqual(left, ["b"]);
});

Deno.test("a leave reported by the next Shield is not delayed by the hold time", () => {
  const { table, left } = follow(LONG_MS);
  table.begin(list(["a", "b", "c"]), OLD);
  // "b" leaves while the pages are being sent, "c" after them.
  table.begin(list(["a"], 2), NEXT);
  table.leave(leave("b"));
  table.update(page());
  assert.deepEqual(left, ["b"]);
  table.leave(leave("c"));
  assert.deepEqual([[...table.members.keys()], left], [["a"], ["b", "c"]]);
  table.lost();
});

Deno.test("another list of the next Shield drops the members that it has named, and ends no hold", () => {
  const { table, left } = follow(LONG_MS);
  table.begin(list(["a", "b", "c"]), OLD);
  table.begin(list(["a", "b"]), NEXT);
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "c"], ["b"]]);
  table.begin(list(["a", "c"]), NEXT);
  table.begin(list(["a"]), NEXT);
  assert.deepEqual(left, ["b", "c"], "a list with the member ends its hold");
  table.lost();
});

Deno.test("each member is held for its own time, however many lists arrive", async () => {
  const { table, left } = follow(20);
  table.begin(list(["a", "b"]), OLD);
  table.begin(list(["a"]), NEXT);
  table.hold_ms = LONG_MS;
  table.begin(list([]), {});
  await until("b's leave", () => !table.members.has("b"));
  assert.deepEqual([[...table.members.keys()], left], [["a"], ["b"]]);
  table.lost();
});

Deno.test("a list that restarts before it was complete still belongs to the next Shield", () => {
  const { table, left } = follow(LONG_MS);
  table.begin(list(["a", "b"]), OLD);
  table.begin(list(["a"], 2), NEXT);
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "b"], []]);
  table.lost();
});

Deno.test("the next Shield's list may come after the end of the old one", () => {
  const { table, left } = follow(LONG_MS);
  table.begin(list(["a"]), OLD);
  table.update(join("b"));
  table.moved();
  table.update(join("c"));
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "b"], []]);
  table.lost();
});

Deno.test("after a lost connection the list counts at once, without held members", () => {
  const { table, left } = follow(LONG_MS);
  table.begin(list(["a", "b", "c"]), OLD);
  table.begin(list(["a", "c"]), NEXT);
  table.lost();
  assert.deepEqual([[...table.members.keys()], left], [["a", "b", "c"], []]);
  table.begin(list(["a"]), {});
  assert.deepEqual([[...table.members.keys()], left], [["a"], ["b", "c"]]);
});

const someIds = fc.subarray([...IDS]);
const step = fc.oneof(
  fc.record({
    kind: fc.constant("list" as const),
    ids: someIds,
    source: fc.constantFrom(OLD, NEXT),
  }),
  fc.record({ kind: fc.constant("join" as const), ids: someIds }),
  fc.record({ kind: fc.constant("leave" as const), ids: someIds }),
  fc.record({ kind: fc.constant("lost" as const) }),
  fc.record({ kind: fc.constant("moved" as const) }),
);

Deno.test("after all hold times the list is the last one plus later changes", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
    const { table } = follow(0);
    let truth = new Set<string>();
    let following = false;
    for (const it of steps) {
      if (it.kind === "list") {
        table.begin(list(it.ids), it.source);
        truth = new Set(it.ids);
        following = true;
      } else if (it.kind === "lost" || it.kind === "moved") {
        table[it.kind]();
        following = false;
      } else {
        if (it.kind === "join") table.update(join(...it.ids));
        else table.leave(leave(...it.ids));
        if (following) {
          for (const id of it.ids) truth[it.kind === "join" ? "add" : "delete"](id);
        }
      }
      for (const id of following ? truth : []) assert.ok(table.members.has(id), `${id} is there`);
    }
    table.begin(list([...truth]), {});
    const members = () => new Set(table.members.keys());
    await seen("the list is right", members, (all) => isDeepStrictEqual(all, truth));
  }));
});
