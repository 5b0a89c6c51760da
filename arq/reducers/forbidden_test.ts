/** Which recorded calls a schema still admits. */
import assert from "node:assert/strict";
import { command, reducerOf, roomOf, timer, utf8 } from "../../brain/reducers/testing/rooms.ts";
import { applyEntry } from "../../brain/reducers/state/fold.ts";
import { emptyRoom } from "../../brain/reducers/state/room_state.ts";
import { parseRoomSchema } from "../../wasm/reducer/schema/room_schema.ts";
import { type Admitted, admitted, ForbiddenCount } from "./rehearsal.ts";

const schema = parseRoomSchema(utf8(`{"commands":{"do":{"data":{"type":"integer"}}}}`));
const reducer = reducerOf(() => {});

Deno.test("allowed answers, timers and remembered ids are as on a bus", () => {
  const allowed = admitted(schema, command(1, { data: utf8(" 1e1 ") }), emptyRoom());
  assert.ok("entry" in allowed && allowed.entry.kind === "command");
  assert.deepEqual(allowed.entry.data, utf8("10"));
  const due = timer(1, "tick", 1);
  assert.deepEqual(admitted(schema, due, emptyRoom()), { entry: due });
  const text = command(1, { data: utf8("x"), id: "a" });
  const before = applyEntry(emptyRoom(), text, reducer, roomOf());
  const again = { ...text, offset: 2 };
  assert.deepEqual(admitted(schema, again, before.state), { entry: again });
  assert.ok("refused" in admitted(schema, { ...again, id: "b" }, before.state));
  assert.deepEqual(admitted(undefined, again, emptyRoom()), { entry: again });
});

Deno.test("each reason of forbidden entries is reported once, and at most 16 per room", () => {
  const count = new ForbiddenCount();
  const { outcome } = applyEntry(emptyRoom(), command(1), reducer, roomOf());
  const add = (offset: number, name: string, then = outcome) => {
    const asked = command(offset, { command: name });
    count.add(
      admitted(schema, asked, emptyRoom()) as Extract<Admitted, { refused: unknown }>,
      then,
    );
  };
  for (let at = 1; at <= 40; at++) add(at, `do${at % 20}`);
  add(41, "never", { ...outcome, kind: "rejected" });
  assert.deepEqual([count.entries, count.others, count.kinds().length], [40, 8, 16]);
  const { command: name, entries, first, code } = count.kinds()[0]!;
  assert.deepEqual([name, entries, first, code], ["do1", 2, 1, 404]);
});
