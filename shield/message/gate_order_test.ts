/** The documented order of gates is the actual one. */
import assert from "node:assert/strict";
import { ArqonError, type Reason } from "@arqon/proto";
import { ann } from "../auth/testing/identity.ts";
import { GATES } from "./gate_order.ts";
import { NO_POLICIES, NO_SCHEMAS } from "./gates.ts";
import { publish } from "./pipeline.ts";
import { callerOf, scan, testPath } from "./testing/path.ts";

Deno.test("a message that every gate would refuse is refused by the first one; without that gate, by the next", async () => {
  await using test = testPath();
  const asked = GATES.slice(GATES.findIndex(([gate]) => gate === "room"));
  for (const at of asked.keys()) {
    const refusing = new Map(asked.slice(at).map(([gate, reason]) => [gate, reason]));
    const refuse = (gate: string) => {
      const reason = refusing.get(gate);
      if (reason !== undefined) throw new ArqonError(reason);
    };
    const event = { data: new Uint8Array(), content_type: "", schema_id: "" };
    const envelope = scan({
      room_id: refusing.has("room") ? "no room" : "lobby",
      tenant_id: refusing.has("tenant") ? "other" : "",
      event: { ...event, type: refusing.has("role") ? "SYSTEM_x" : "chat" },
      headers: refusing.has("shadow") ? { "x-arqon-shadow": "1" } : {},
    });
    let bans = 0;
    const room_class = test.path.classes.of("acme", "lobby");
    const path: typeof test.path = {
      ...test.path,
      bans: { requireRoom: () => refuse(bans++ === 0 ? "ban" : "ban, again") },
      shares: { require: () => refuse("filters' share"), spend: () => {} },
      quota: { take: () => refuse("budget and quota") },
      signatures: { of: () => refusing.has("signature") ? [{ room: "*", role: "user" }] : [] },
      schemas: {
        ...NO_SCHEMAS,
        isEmpty: false,
        check: () =>
          refusing.has("schema")
            ? { error: new ArqonError("schema-violation"), dead_letter: undefined }
            : undefined,
      },
      overseer: { ...NO_POLICIES, onMessage: () => void refuse("policies and hooks") },
      classes: {
        of: () => refusing.has("reducer's room") ? { ...room_class, reducer: "r" } : room_class,
      },
      spine: { ...test.path.spine, give: () => refuse("Spine or log") },
    };
    const grants = refusing.has("grant") ? [] : ann.grants;
    const caller = callerOf({ ...ann, grants });
    const [gate, reason] = asked[at] ?? [];
    assert.throws(() => publish(path, { caller, origin: undefined }, envelope), { reason }, gate);
  }
});

Deno.test("each gate is reported once", () => {
  assert.equal(new Set(GATES.map(([gate]) => gate)).size, GATES.length);
  assert(GATES.every(([, ...refusals]: readonly [string, ...Reason[]]) => refusals.length > 0));
});
