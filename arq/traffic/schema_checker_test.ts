// Which decisions of a journal are events that a schema judges.
import assert from "node:assert/strict";
import { recordOf } from "../../shared/journal/testing/records.ts";
import { SCHEMA_SET } from "../init/binaries.ts";
import { SchemaChecker } from "./schema_checker.ts";

Deno.test("traffic: a command is no event, whatever its name is, and an event may be named like one", () => {
  const set = Uint8Array.fromBase64(SCHEMA_SET);
  for (const type of ["room.set", "growing.append", "kick", "get"]) {
    const checker = new SchemaChecker({ tenant: "acme", schema_id: "shop", set, mappings: [] });
    checker.take(recordOf({ type, is_command: true }), {});
    assert.equal(checker.tally.unmapped, 0, type);
    checker.take(recordOf({ type }), {});
    assert.equal(checker.tally.unmapped, 1, `an event of the type ${type}`);
  }
});
