// The list of members and its changes alone, without a socket: server's data in, program's items out; and during a move
// the members that are missing in the next Shield's list, and when that is a leave. Lists and pages of one Shield are
// conformance vectors (`conformance_test.ts`).
import assert from "node:assert/strict";
import fc from "fast-check";
import { isDeepStrictEqual } from "node:util";
import { ArqonError, encodePresenceLeave, encodePresenceUpdate } from "@arqon/proto";
import type { PresentMember } from "@arqon/proto";
import { seen, until } from "../../../shared/testing/until.ts";
import { MemberTable, Presence, type PresenceChanges } from "./presence.ts";

function member(connection_id: string, meta = "", joined_ms = 1): PresentMember {
  return { connection_id, user_id: `user-${connection_id}`, meta, joined_ms };
}

/** The JSON in a SUB's ACK. */
function answer(members: readonly PresentMember[], pages = 1, connections = members.length) {
  const shown = members.map((each) => ({
    ...each,
    meta: each.meta === "" ? null : JSON.parse(each.meta),
  }));
  return { members: shown, connections, users: connections, pages };
}

function update(members: readonly PresentMember[], snapshot = false) {
  return encodePresenceUpdate({ members, connections: 7, users: 5, snapshot });
}

function leave(...connection_ids: string[]) {
  const members = connection_ids.map((id) => member(id));
  return encodePresenceLeave({ members, connections: 7, users: 5 });
}

/** The ids in one item. */
async function nextIds(changes: AsyncIterator<PresenceChanges, undefined>) {
  const { value } = await changes.next();
  assert.ok(value !== undefined, "the changes ended");
  const ids = (list: PresenceChanges["joined"]) => list.map((each) => each.connection_id).sort();
  return { joined: ids(value.joined), updated: ids(value.updated), left: ids(value.left) };
}

Deno.test("changes end with the subscription: after undelivered ones, with its error if any", async () => {
  const table = new MemberTable();
  const presence = new Presence(table);
  table.begin(answer([member("a")]));
  const changes = presence.changes();
  presence.end(new ArqonError("banned"));
  assert.deepEqual((await nextIds(changes)).joined, ["a"]);
  await assert.rejects(changes.next(), { reason: "banned" });
  assert.equal((await changes.next()).done, true);
  const later = presence.changes();
  assert.deepEqual((await nextIds(later)).joined, ["a"]);
  await assert.rejects(later.next(), { reason: "banned" });
});

Deno.test("an ended loop ends its own wait and receives nothing more", async () => {
  const table = new MemberTable();
  const presence = new Presence(table);
  const changes = presence.changes();
  const waiting = changes.next();
  await changes.return?.();
  table.begin(answer([member("a")]));
  assert.deepEqual(await waiting, { value: undefined, done: true });
  assert.deepEqual(await changes.next(), { value: undefined, done: true });
});

Deno.test("an invalid list is 'malformed-frame', and so is an invalid change", () => {
  const table = new MemberTable();
  for (const value of [undefined, null, [], {}, { members: [1], connections: 1, users: 1 }]) {
    assert.throws(() => table.begin(value), { reason: "malformed-frame" }, String(value));
  }
  table.begin(answer([member("a")]));
  assert.throws(() => table.update(new Uint8Array([0x0a, 9])), { reason: "malformed-frame" });
  assert.throws(() => table.leave(new Uint8Array([0x0a, 9])), { reason: "malformed-frame" });
  assert.throws(() => table.update(update([member("b", "{")])), SyntaxError);
  assert.deepEqual([...table.members.keys()], ["a"]);
});

/** One event of a room or of a client's connection. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      id: fc.nat({ max: 9 }),
      meta: fc.nat({ max: 2 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("drop" as const), id: fc.nat({ max: 9 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("sub" as const),
      pages: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("page" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lost" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("read" as const) }) },
);

/** A server with one client: changes of the room reach the table while it is connected. */
class Server {
  readonly truth = new Map<string, PresentMember>();
  readonly table = new MemberTable();
  readonly #pages: PresentMember[][] = [];
  #connected = false;

  put(id: string, meta: string): void {
    this.truth.set(id, member(id, meta));
    if (this.#connected) this.table.update(update([member(id, meta)]));
  }

  drop(id: string): void {
    if (this.truth.delete(id) && this.#connected) this.table.leave(leave(id));
  }

  sub(pages: number): void {
    const all = [...this.truth.values()];
    const size = Math.max(1, Math.ceil(all.length / pages));
    this.#pages.length = 0;
    for (let at = 0; at < all.length; at += size) this.#pages.push(all.slice(at, at + size));
    const first = this.#pages.shift() ?? [];
    this.#connected = true;
    this.table.begin(answer(first, this.#pages.length + 1, all.length));
  }

  page(): void {
    const page = this.#pages.shift();
    if (page !== undefined) this.table.update(update(page, true));
  }

  lost(): void {
    this.#connected = false;
    this.#pages.length = 0;
    this.table.lost();
  }

  /** Sends the remaining changes. */
  settle(): void {
    if (!this.#connected) this.sub(3);
    while (this.#pages.length > 0) this.page();
  }
}

/** Applies an item to a list, and fails if it contradicts the list. */
function follow(list: Map<string, string>, changes: PresenceChanges): void {
  const text = ({ meta }: { meta: unknown }) => JSON.stringify(meta);
  for (const { connection_id: id, ...rest } of changes.joined) {
    assert.ok(!list.has(id), `${id} joined twice`);
    list.set(id, text(rest));
  }
  for (const { connection_id: id, ...rest } of changes.updated) {
    assert.ok(list.has(id), `${id} was updated before it joined`);
    assert.notEqual(list.get(id), text(rest));
    list.set(id, text(rest));
  }
  for (const { connection_id: id } of changes.left) {
    assert.ok(list.delete(id), `${id} left without having joined`);
  }
}

Deno.test("whatever happens in the room and to the connection, the list and its changes end at the truth", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
      const server = new Server();
      const presence = new Presence(server.table);
      const changes = presence.changes();
      const list = new Map<string, string>();
      const shown = () =>
        new Map([...presence.members].map(([id, { meta }]) => [id, JSON.stringify(meta)]));
      const read = async () => {
        // An item exists if and only if the reported list differs from the present one.
        if ([...list].sort().join() === [...shown()].sort().join()) return;
        const { value } = await changes.next();
        if (value !== undefined) follow(list, value);
      };
      for (const each of steps) {
        if (each.kind === "put") server.put(`c${each.id}`, String(each.meta));
        else if (each.kind === "drop") server.drop(`c${each.id}`);
        else if (each.kind === "sub") server.sub(each.pages);
        else if (each.kind === "page") server.page();
        else if (each.kind === "lost") server.lost();
        else await read();
      }
      server.settle();
      await read();
      const truth = new Map([...server.truth].map(([id, { meta }]) => [id, meta]));
      assert.deepEqual(shown(), truth);
      assert.deepEqual(list, truth);
    }),
    { numRuns: 2_000 },
  );
});

const IDS = ["a", "b", "c", "d"] as const;
const OLD = {}, NEXT = {};
const list = (ids: readonly string[], pages = 1) => answer(ids.map((id) => member(id)), pages);
const join = (...ids: string[]) => update(ids.map((id) => member(id)));
const page = (...ids: string[]) => update(ids.map((id) => member(id)), true);

/** A table, and the reported leaves. */
function heldFor(hold_ms: number) {
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
  const { table, left } = heldFor(5);
  table.begin(list(["a", "b"]), OLD);
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "b"], []]);
  await until("b's leave", () => !table.members.has("b"));
  assert.deepEqual(left, ["b"]);
});

Deno.test("a leave reported by the next Shield is not delayed by the hold time", () => {
  const { table, left } = heldFor(LONG_MS);
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
  const { table, left } = heldFor(LONG_MS);
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
  const { table, left } = heldFor(20);
  table.begin(list(["a", "b"]), OLD);
  table.begin(list(["a"]), NEXT);
  table.hold_ms = LONG_MS;
  table.begin(list([]), {});
  await until("b's leave", () => !table.members.has("b"));
  assert.deepEqual([[...table.members.keys()], left], [["a"], ["b"]]);
  table.lost();
});

Deno.test("a list that restarts before it was complete still belongs to the next Shield", () => {
  const { table, left } = heldFor(LONG_MS);
  table.begin(list(["a", "b"]), OLD);
  table.begin(list(["a"], 2), NEXT);
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "b"], []]);
  table.lost();
});

Deno.test("the next Shield's list may come after the end of the old one", () => {
  const { table, left } = heldFor(LONG_MS);
  table.begin(list(["a"]), OLD);
  table.update(join("b"));
  table.moved();
  table.update(join("c"));
  table.begin(list(["a"]), NEXT);
  assert.deepEqual([[...table.members.keys()], left], [["a", "b"], []]);
  table.lost();
});

Deno.test("after a lost connection the list counts at once, without held members", () => {
  const { table, left } = heldFor(LONG_MS);
  table.begin(list(["a", "b", "c"]), OLD);
  table.begin(list(["a", "c"]), NEXT);
  table.lost();
  assert.deepEqual([[...table.members.keys()], left], [["a", "b", "c"], []]);
  table.begin(list(["a"]), {});
  assert.deepEqual([[...table.members.keys()], left], [["a"], ["b", "c"]]);
});

const someIds = fc.subarray([...IDS]);
const move = fc.oneof(
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
  await fc.assert(fc.asyncProperty(fc.array(move, { maxLength: 20 }), async (steps) => {
    const { table } = heldFor(0);
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
