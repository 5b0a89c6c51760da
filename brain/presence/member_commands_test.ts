/** The members of a room, listed by command: counts, pages, cursors. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import type { Entry } from "../../shared/presence/types.ts";
import { until } from "../../shared/testing/until.ts";
import { accepted, refused } from "../rooms/testing/command_probe.ts";
import { answerPresence } from "./capability.ts";
import { entry, withTestBed } from "../rooms/testing/room_test_bed.ts";

const AT = { tenant_id: "acme", room_id: "lobby" };
const PAGE_BYTES = 393_216;

/** The answer, and the room as the answering Brain sees it. */
function list(members: readonly Entry[], limit: number, after?: string, bytes = PAGE_BYTES) {
  const view = {
    members: () => members,
    count: () => ({ connections: members.length, users: members.length }),
  };
  return JSON.parse(answerPresence(AT, { kind: "list", limit, after }, view, bytes));
}

/** All pages from a cursor on. */
function pages(members: readonly Entry[], limit: number, bytes?: number): string[][] {
  const all: string[][] = [];
  let after: string | undefined;
  do {
    const page = list(members, limit, after, bytes);
    all.push(page.members.map(({ connection_id }: Entry) => connection_id));
    after = page.next;
  } while (after !== undefined);
  return all;
}

const someMembers = fc.uniqueArray(
  fc.tuple(fc.nat(5), fc.nat(99)).map(([joined_ms, id]) => entry(`c${id}`, { joined_ms })),
  { selector: ({ connection_id }) => connection_id, maxLength: 40 },
);

Deno.test("the pages of an unchanged room contain every member once, in the order of joins", () => {
  fc.assert(fc.property(someMembers, fc.integer({ min: 1, max: 12 }), (members, limit) => {
    const all = pages(members, limit);
    const sorted = members.toSorted((a, b) =>
      a.joined_ms - b.joined_ms || (a.connection_id < b.connection_id ? -1 : 1)
    );
    assert.deepEqual(all.flat(), sorted.map(({ connection_id }) => connection_id));
    for (const page of all) assert.ok(page.length <= limit);
  }));
});

Deno.test("a member that stays while others join and leave is on exactly one page", () => {
  const comes = fc.tuple(someMembers, someMembers, fc.integer({ min: 1, max: 5 }));
  fc.assert(fc.property(comes, ([before, after, limit]) => {
    const first = list(before, limit);
    if (first.next === undefined) return;
    const seen: string[] = first.members.map(({ connection_id }: Entry) => connection_id);
    let { next } = first;
    while (next !== undefined) {
      const page = list(after, limit, next);
      seen.push(...page.members.map(({ connection_id }: Entry) => connection_id));
      ({ next } = page);
    }
    const stays = before.filter((one) =>
      after.some(({ connection_id, joined_ms }) =>
        connection_id === one.connection_id && joined_ms === one.joined_ms
      )
    );
    for (const { connection_id } of stays) {
      assert.equal(seen.filter((id) => id === connection_id).length, 1);
    }
  }));
});

Deno.test("a page ends early if it would not fit into an answer, and is never empty", () => {
  const meta = JSON.stringify("x".repeat(4_000));
  const members = Array.from({ length: 9 }, (_, index) => entry(`c${index}`, { meta }));
  assert.deepEqual(pages(members, 100, 30_000).map(({ length }) => length), [2, 2, 2, 2, 1]);
  assert.deepEqual(pages(members, 100, 10).map(({ length }) => length), Array(9).fill(1));
});

Deno.test("an invalid cursor is refused", () => {
  for (const after of ["", "x", "1", "~c", "1~", "-1~c"]) {
    assert.throws(() => list([], 5, after), (error) => {
      return error instanceof ArqonError && error.reason === "invalid-command" &&
        error.message.includes('"next" of an earlier presence.list');
    });
  }
});

Deno.test("an invalid query is refused with the reason", async () => {
  await withTestBed(async ({ spine, start }) => {
    await start("b1");
    const list = (data: unknown, more = {}) => ({ name: "presence.list", data, ...more });
    const bad = [list({ limit: 0 }), list({ after: 5 }), list({}, { after_version: 3 })];
    for (const one of [...bad, { name: "list" }]) {
      assert.equal(await refused(spine, one), "400 invalid-command");
    }
  });
});

Deno.test("any Brain answers for any room, and creates none", async () => {
  await withTestBed(async ({ spine, cluster, bucket, start }) => {
    cluster.owner = () => "somebody else";
    const node = await start("b1");
    const empty = await accepted(spine, { name: "presence.list" });
    assert.deepEqual(empty, { members: [], connections: 0, users: 0 });
    cluster.change([
      entry("c1", { meta: '{"name":"Ann"}', user_id: "ann" }),
      entry("c2", { user_id: "ann" }),
    ]);
    assert.deepEqual(await accepted(spine, { name: "presence.count" }), {
      connections: 2,
      users: 1,
    });
    assert.deepEqual(await accepted(spine, { name: "presence.list", data: { limit: 1 } }), {
      members: [{ connection_id: "c1", user_id: "ann", meta: { name: "Ann" }, joined_ms: 1_000 }],
      connections: 2,
      users: 1,
      next: "1000~c1",
    });
    const bad = { name: "presence.list", data: { after: "?" } };
    assert.equal(await refused(spine, bad), "400 invalid-command");
    assert.deepEqual(await bucket.keys(), []);
    assert.deepEqual(cluster.suspected, []);
    await until(
      "they are counted",
      async () => await node.metric('brain_commands_total{name="presence.list",code="0"}') === 2,
    );
  });
});
