/** Values from pages and messages: always a consistent state, in any order of arrival, or none. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { compareKeys, type ValuesMessage, type ValuesPage, ValuesView } from "./watched_values.ts";

type Change = readonly [key: string, value: string | null];

/** A room that changes one key at a time, with one message for each change. */
class Room {
  readonly states: ReadonlyMap<string, string>[] = [new Map()];
  readonly messages: ValuesMessage[] = [];
  /** The last published entry. */
  version = 0;

  change(changes: readonly Change[], parts: number): void {
    const after = this.version;
    const values = new Map(this.states.at(-1));
    const entries = changes.map(([key, value], at) => {
      if (value === null) values.delete(key);
      else values.set(key, value);
      this.states.push(new Map(values));
      return [after + at + 1, key, value] as const;
    });
    this.version = after + changes.length;
    const size = Math.ceil(entries.length / parts);
    const all = Array.from({ length: parts }, (_, at) => entries.slice(at * size, (at + 1) * size));
    for (const [at, some] of all.entries()) {
      const about = { scope: "s", after, to: this.version, changes: some };
      const more = at < parts - 1 ? { more: true } : {};
      this.messages.push(parts === 1 ? about : { ...about, part: at + 1, ...more });
    }
  }

  page(after: string, most: number): ValuesPage {
    const keys = [...this.states.at(-1)!.keys()].sort(compareKeys)
      .filter((key) => after === "" || compareKeys(key, after) > 0);
    const some = keys.slice(0, most);
    const values = some.map((key) => [key, this.states.at(-1)!.get(key)!] as const);
    const next = keys.length > most ? { next: some.at(-1)! } : {};
    return { scope: "s", version: this.version, values, ...next };
  }
}

const keys = fc.constantFrom("a", "b", "\u{1f600}", "￿", "c");
const value = fc.constantFrom<string | null>("1", "2", "3", null);
const change: fc.Arbitrary<Change> = fc.tuple(keys, value);
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constant("change"), fc.array(change, { minLength: 1, maxLength: 4 })),
  },
  { weight: 4, arbitrary: fc.tuple(fc.constant("hear"), fc.constant([])) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("page"), fc.constant([])) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("lose"), fc.constant([])) },
);

Deno.test("values are always of one entry, finally of the last one", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(fc.nat(2)), (steps, parts) => {
      const room = new Room();
      const view = new ValuesView("");
      let received = 0;
      let after: string | undefined;
      const begin = () => {
        view.begin();
        after = "";
      };
      const hear = () => {
        const message = room.messages[received];
        if (message === undefined) return;
        received++;
        if (view.hear(message) === "again") begin();
      };
      const read = () => {
        if (after === undefined) return view.version !== undefined;
        const page = after === "whole" ? undefined : room.page(after, 2);
        const outcome = page === undefined ? view.settle() : view.page(page);
        if (outcome === "again") begin();
        else after = outcome === "whole" ? undefined : page?.next ?? "whole";
        return outcome === "whole";
      };
      const check = () => {
        if (view.version === undefined) return;
        assert.deepEqual(view.values, room.states[view.version]);
      };
      begin();
      for (const [index, [kind, changes]] of steps.entries()) {
        if (kind === "change") room.change(changes as Change[], 1 + (parts[index] ?? 0));
        else if (kind === "hear") hear();
        else if (kind === "page") read();
        else received = Math.min(room.messages.length, received + 1);
        check();
      }
      // A reconnect with a gap, as the bus reports it.
      begin();
      while (!read() || received < room.messages.length) {
        hear();
        check();
      }
      assert.equal(view.version, room.version);
      assert.deepEqual(view.values, room.states.at(-1));
    }),
    { numRuns: 500 },
  );
});

Deno.test("bytes stay bytes, another scope and an earlier page restart, a prefix excludes the rest", () => {
  const view = new ValuesView("p");
  view.begin();
  const values = [["p1", { base64: "AP8=" }], ["p2", "x"]] as const;
  assert.equal(view.page({ scope: "s", version: 5, values }), "whole");
  assert.deepEqual(view.values.get("p1"), new Uint8Array([0, 255]));
  const message = {
    scope: "s",
    after: 5,
    to: 6,
    changes: [[6, "q", "1"], [6, "p2", null]],
  } as const;
  assert.deepEqual(view.hear(message), new Map([["p2", undefined]]));
  assert.deepEqual(view.hear(message), new Map(), "once");
  assert.equal(view.hear({ ...message, scope: "t", to: 7 }), "again");
  assert.equal(view.hear({ ...message, after: 8, to: 9 }), "again");
  view.begin();
  assert.equal(view.page({ scope: "s", version: 5, values }), "again");
  assert.deepEqual([...view.values.keys()], ["p1"], "what was there stays");
  view.begin();
  assert.equal(view.page({ scope: "s", version: 8, values }), "again", "9 was received already");
});

Deno.test("a room whose entries restart is read again", () => {
  const view = new ValuesView("");
  view.begin();
  assert.equal(view.page({ scope: "s", version: 50, values: [["total", "50"]] }), "whole");
  const changes = [[51, "total", "51"]] as const;
  view.hear({ scope: "s", after: 50, to: 51, changes });
  view.begin();
  assert.equal(view.page({ scope: "s", version: 1, values: [] }), "again", "a previous owner");
  view.begin();
  const page = { scope: "t", version: 1, values: [["total", "1"]] } as const;
  assert.equal(view.page(page), "whole");
  assert.deepEqual([view.version, view.values.get("total")], [1, "1"]);
  const message = { scope: "t", after: 1, to: 2, changes: [[2, "total", "2"]] } as const;
  assert.deepEqual(view.hear(message), new Map([["total", "2"]]));
  view.begin();
  assert.equal(view.page(page), "again", "2 was received already");
  // A first message about new entries is no reason to wait for the earlier number.
  assert.equal(view.hear({ ...message, scope: "u", after: 0, to: 1 }).constructor, Map);
  view.begin();
  assert.equal(view.page({ ...page, scope: "u" }), "whole");
});
