/** Turns of the thread that runs reducers: whoever applies much, also of a log that is read, lets others have theirs. */
import assert from "node:assert/strict";
import { configFrom } from "../../../shared/config/load.ts";
import { programOf } from "../log/program.ts";
import { moduleOf } from "../testing/guest_text.ts";
import type { GuestText } from "../testing/hostile_reducers.ts";
import { command } from "../testing/rooms.ts";
import { ReducerHost } from "./host.ts";

const PAYLOAD_MAX = 1_048_576;
const ALL = { may_stop: false, shown: [] };
const ENTRIES = 200;

function program(guest: GuestText) {
  const { reducers: [entry] } = configFrom({ reducers: [{ name: "r", file: "r" }] });
  return programOf(entry!, moduleOf(guest), PAYLOAD_MAX);
}

const EXPENSIVE: Readonly<Record<string, GuestText>> = {
  "that never ends by itself": { apply: `(loop $l (br $l)) (i32.const 0)` },
  "whose instance is what costs": {
    apply: `(table.set $t (i32.const 0) (ref.null func)) (i32.const 0)`,
    more: `(table $t 10000 funcref)`,
  },
};

for (const [name, guest] of Object.entries(EXPENSIVE)) {
  Deno.test(`many entries of a reducer ${name} are applied in turns with another room's`, async () => {
    const host = new ReducerHost(() => {});
    try {
      const [busy, other] = [program(guest), program({ apply: `(i32.const 0)` })];
      for (const one of [busy, other]) await host.check(one);
      const [first, second] = [await host.open("a", undefined), await host.open("b", undefined)];
      const entries = Array.from({ length: ENTRIES }, (_, at) => command(at + 1));
      const done: string[] = [];
      const many = host.apply(first.handle, busy, entries, ALL).then((all) => {
        done.push("many");
        return all;
      });
      await host.apply(second.handle, other, [command(1)], ALL).then(() => done.push("one"));
      const { applied, standing } = await many;
      assert.deepEqual(done, ["one", "many"]);
      assert.deepEqual(applied.map(({ offset }) => offset), entries.map(({ offset }) => offset));
      assert.equal(standing.offset, ENTRIES);
    } finally {
      host.end();
    }
  });
}
