/** What a Brain learns of the caller of a command in a room with a reducer. */
import assert from "node:assert/strict";
import { CLAIMS_UNITS_MAX, readCaller } from "../../shared/records/caller_headers.ts";
import { DEFAULT_CLASS, type RoomClass } from "../../shared/rooms/room_class.ts";
import { ann } from "../auth/testing/identity.ts";
import { REDUCERS } from "./capability.ts";

const opened = await REDUCERS.open?.({} as never, {} as never);
const callerOf = opened?.gives?.callerOf;
const CLASS: RoomClass = { ...DEFAULT_CLASS, reducer: "tally", reducer_claims: ["team", "seat"] };

Deno.test("a room with a reducer receives the role and the claims that its class names", () => {
  const claims = { team: "réds", seat: 7, secret: "s" };
  const headers = callerOf?.({ ...ann, role: "service", claims }, CLASS);
  assert.deepEqual(readCaller(headers!), { role: "service", claims: { team: "réds", seat: "7" } });
  assert.equal(callerOf?.({ ...ann, claims }, DEFAULT_CLASS), undefined, "without a reducer");
});

Deno.test("claims that are too long are refused by their names", () => {
  const claims = { team: "x".repeat(CLAIMS_UNITS_MAX) };
  assert.throws(() => callerOf?.({ ...ann, claims }, CLASS), /the token's claims team have 4100/);
});
