/**
 * Calls a reducer with deep recursion on a machine whose stack is too small for some of the calls. Prints how many
 * calls were applied, how many this machine could not run, and any other result. A program of `machine_test.ts`.
 */
import { moduleOf } from "./guest_text.ts";
import { EMIT, WRITES } from "./hostile_reducers.ts";
import { call, ENGINES, entriesOf, eventsWhen } from "./reducer_world.ts";

const LOCALS = Array.from({ length: 60 }, (_, at) => `$l${at}`);

/** Recurses four times as deep as the command's data is long, with large frames, and changes the room at the bottom. */
const DEEP = `
  (func $deep (param $left i32) (result i32)
    ${LOCALS.map((name) => `(local ${name} i64)`).join(" ")}
    ${
  LOCALS.map((name, at) => `(local.set ${name} (i64.load offset=${8 * at} (local.get $left)))`)
    .join("\n")
}
    (if (local.get $left)
      (then (drop (call $deep (i32.sub (local.get $left) (i32.const 1)))))
      (else ${WRITES} ${EMIT}))
    ${
  LOCALS.map((name, at) => `(i64.store (i32.const ${4_096 + 8 * at}) (local.get ${name}))`).join(
    "\n",
  )
}
    (i32.const 0))`;
const APPLY = `(call $deep (i32.mul (i32.const 4) (i32.load (call $room_field (i32.const 1)))))`;
const DEPTHS = Array.from({ length: 84 }, (_, at) => at);

if (import.meta.main) {
  const bytes = moduleOf({ apply: APPLY, more: DEEP });
  await using world = await ENGINES["embedded"]!({ modules: { deep: bytes } });
  const brain = await world.start("a");
  const outcomes: string[] = [];
  for (const depth of DEPTHS) {
    const outcome = await call(brain, "deep", "go", { data: "x".repeat(depth) });
    outcomes.push(typeof outcome === "string" ? outcome : "applied");
    // Whatever this machine could not run, the room continues with the calls it can.
    const flat = await call(brain, "deep", "go");
    if (typeof flat === "string") throw new Error(`behind depth ${depth}: ${flat}`);
  }
  const entries = (await entriesOf(brain, "deep")).length;
  const events = (await eventsWhen(brain, "deep", entries)).length;
  console.log(JSON.stringify({ outcomes, entries, events }));
}
