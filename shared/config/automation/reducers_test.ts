/** `[[reducers]]` and the classes that name them: errors name the problem and what would be right. */
import assert from "node:assert/strict";
import { configFrom, parseConfig } from "../load.ts";

const reducers = [{ name: "auction", file: "a.wasm" }];
const refused = (settings: Record<string, unknown>, words: RegExp) =>
  assert.throws(() => configFrom(settings), words);

Deno.test("a class names an existing reducer, for durable rooms", () => {
  const rooms = [{ room: "a-*", durable: true, reducer: "auction", reducer_claims: ["team"] }];
  const config = configFrom({ reducers, rooms });
  assert.deepEqual(config.rooms[0]?.reducer_claims, ["team"]);
  assert.equal(config.reducers[0]?.fuel_limit, 10_000);
  const passing = [{ room: "a-*", reducer: "auction" }];
  refused({ reducers, rooms: passing }, /reducer without durable; expected durable = true/);
  const unknown = [{ room: "a-*", durable: true, reducer: "auktion" }];
  refused({ reducers, rooms: unknown }, /no \[\[reducers\]\] has the name "auktion".*"auction"/);
  refused({ reducers: [...reducers, ...reducers] }, /the same name as reducers\[0\]/);
  refused({ reducers: [{ name: "a" }] }, /file/);
  const both = [{ ...rooms[0], filter: "true", reducer_visible: ["public/"] }];
  refused({ reducers, rooms: both }, /reducer_visible beside filter/);
  refused({ reducers, rooms: [{ ...rooms[0], reducer_visible: [""] }] }, /reducer_visible/);
});

Deno.test("constants of a program are in each entry; code sets them, a file does not", () => {
  const { reducers: [one, two] } = configFrom({
    reducers: [...reducers, { name: "b", file: "b", timers: 3 }],
  });
  assert.deepEqual([one?.timers, two?.timers, two?.events], [64, 3, 64]);
  const text = '[[reducers]]\nname = "a"\nfile = "a"\ntimers = 3\n';
  assert.throws(
    () => parseConfig(text, { file: "f" }),
    /f:4:1 reducers\[0\]\.timers: it is a constant now, 64 /,
  );
});
