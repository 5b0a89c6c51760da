/** Which decisions of a journal are events that a schema judges. */
import assert from "node:assert/strict";
import { recordOf } from "../../shared/journal/testing/records.ts";
import { eventOf } from "./schema_checker.ts";

Deno.test("traffic: a command is no event, whatever its name is, and an event may be named like one", () => {
  for (const type of ["room.set", "growing.append", "kick", "get"]) {
    assert.equal(eventOf(recordOf({ type, is_command: true })), "no-event", type);
    const event = eventOf(recordOf({ type }));
    assert.ok(typeof event === "object", `an event of the type ${type}`);
  }
});
