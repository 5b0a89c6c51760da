/** What a hook receives about a message that a policy refuses. */
import assert from "node:assert/strict";
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { ann } from "../auth/testing/identity.ts";
import { NO_POLICIES } from "../message/gates.ts";
import { callerOf, LIMITS } from "../message/testing/path.ts";
import { tellingRefusals } from "./capability.ts";

Deno.test("a refused signal is a publish to hooks, as a refused event is, and no command", () => {
  const kinds: unknown[] = [];
  const overseer = {
    ...NO_POLICIES,
    onMessage: () => {
      throw new ArqonError("policy-rejected", "no");
    },
  };
  const events = {
    isWanted: () => true,
    refused: (_tenant_id: string, data: object) => void kinds.push(data),
  };
  const telling = tellingRefusals(overseer, events, { node_id: "n", now: () => 0 });
  const data = new Uint8Array(2);
  const bodies = [
    { event: { type: "chat", data } },
    { command: { name: "room.set", data } },
    { signal: { kind: "DISCONNECT", target: "bob", reason: "", until_ms: 0 } },
  ] as const;
  for (const body of bodies) {
    const envelope = scanEnvelope(writeEnvelope({ room_id: "lobby", ...body }), LIMITS);
    assert.throws(() => telling.onMessage(callerOf(ann), envelope), { reason: "policy-rejected" });
  }
  assert.deepEqual(
    kinds.map((one) => (one as { what: string }).what),
    ["publish", "command", "publish"],
  );
});
