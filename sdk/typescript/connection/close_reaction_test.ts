// The decision after every close code and refusal, against the generated tables; no socket.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, type CloseCode, CLOSES } from "@arqon/proto";
import { closeReaction } from "./close_reaction.ts";

Deno.test("any code and reason gives a decision, and reserved words are not codes", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 70_000 }), fc.string(), (code, reason) => {
    const reaction = closeReaction(code, reason, undefined);
    assert.ok(reaction.action === "stop" || reaction.floor_ms >= 0);
    if (!(code in CLOSES) || code === 1000) return;
    assert.equal(reaction.error instanceof ArqonError, true);
    assert.equal(reaction.action === "reconnect", CLOSES[code as CloseCode].reconnect);
  }));
});
