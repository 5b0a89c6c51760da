// The decision after every close code and refusal, against the generated tables; no socket.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, type CloseCode, CLOSES, ERRORS, type Reason } from "@arqon/proto";
import { closeReaction, refusalReaction, spreadOf } from "./close_reaction.ts";

Deno.test("every close code of the table is obeyed", () => {
  for (const [text, rule] of Object.entries(CLOSES)) {
    const reaction = closeReaction(Number(text), "", undefined);
    assert.equal(reaction.action, rule.reconnect ? "reconnect" : "stop", text);
    if (reaction.action === "reconnect") {
      assert.equal(reaction.new_token, rule.client === "refresh-token", text);
    }
  }
});

Deno.test("a normal close ends without an error", () => {
  assert.deepEqual(closeReaction(1000, "bye", undefined), { action: "stop", error: undefined });
});

Deno.test("a restart is spread over the window that the Shield gives", () => {
  const reaction = closeReaction(1012, "restart;spread_ms=5000", undefined);
  assert.ok(reaction.action === "reconnect");
  assert.equal(reaction.spread_ms, 5_000);
  assert.equal(spreadOf("spread_ms=abc"), 0);
  assert.equal(spreadOf("spread_ms=999999999"), 600_000);
  assert.equal(spreadOf("nospread_ms=5"), 0);
});

Deno.test("4401 after refresh-mismatch stops although 4401 alone reconnects", () => {
  const mismatch = closeReaction(4401, "", new ArqonError("refresh-mismatch"));
  assert.ok(mismatch.action === "stop");
  assert.equal(mismatch.error?.reason, "refresh-mismatch");
  const expired = closeReaction(4401, "", new ArqonError("token-expired"));
  assert.ok(expired.action === "reconnect" && expired.new_token);
});

Deno.test("the reason text of the close frame names the error when no ERR frame came", () => {
  const mismatch = closeReaction(4401, "refresh-mismatch", undefined);
  assert.ok(mismatch.action === "stop");
  assert.equal(mismatch.error?.reason, "refresh-mismatch");
  const foreign = closeReaction(4408, "refresh-mismatch", undefined);
  assert.equal(foreign.action, "reconnect", "the name must fit the code");
});

Deno.test("4403 is a ban, with and without a reason", () => {
  for (const reason of ["", "banned", "something else"]) {
    const reaction = closeReaction(4403, reason, undefined);
    assert.ok(reaction.action === "stop");
    assert.equal(reaction.error?.reason, "banned");
  }
});

Deno.test("an earlier error of another kind does not change what the close code says", () => {
  const reaction = closeReaction(4408, "", new ArqonError("not-granted", "x"));
  assert.ok(reaction.action === "reconnect");
  assert.equal(reaction.error.reason, "connection-lost");
  assert.match(reaction.error.message, /4408 heartbeat-lost/);
});

Deno.test("an abnormal close reconnects, a protocol disagreement does not", () => {
  assert.equal(closeReaction(1006, "", undefined).action, "reconnect");
  assert.equal(closeReaction(1011, "", undefined).action, "reconnect");
  assert.equal(closeReaction(1002, "", undefined).action, "stop");
});

Deno.test("any code and reason gives a decision, and reserved words are not codes", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 70_000 }), fc.string(), (code, reason) => {
    const reaction = closeReaction(code, reason, undefined);
    assert.ok(reaction.action === "stop" || reaction.floor_ms >= 0);
    if (!(code in CLOSES) || code === 1000) return;
    assert.equal(reaction.error instanceof ArqonError, true);
    assert.equal(reaction.action === "reconnect", CLOSES[code as CloseCode].reconnect);
  }));
});

Deno.test("a refused upgrade follows the error table: stop, new token, or wait as told", () => {
  for (const reason of Object.keys(ERRORS) as Reason[]) {
    const reaction = refusalReaction(new ArqonError(reason, "", { retry_after_ms: 30 }));
    const client: string = ERRORS[reason].client;
    assert.equal(reaction.action, client === "never-retry" ? "stop" : "reconnect", reason);
    if (reaction.action !== "reconnect") continue;
    assert.equal(reaction.new_token, client === "refresh-token", reason);
    assert.equal(reaction.floor_ms, 30);
  }
});
