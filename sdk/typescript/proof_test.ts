/** The three answers to a publish that asks for a receipt. */
import assert from "node:assert/strict";
import type { ArqonError } from "@arqon/proto";
import { receiptIn } from "./proof.ts";

const resultOf = (result: unknown) => ({
  result: result === undefined
    ? new Uint8Array()
    : new TextEncoder().encode(JSON.stringify(result)),
});

Deno.test("an ACK has a receipt, or says that the bus could not make one, or the room has no log", () => {
  assert.equal(receiptIn(resultOf({ receipt: "note" })), "note");
  assert.equal(receiptIn(resultOf(undefined)), undefined);
  assert.throws(
    () => receiptIn(resultOf({ receipt: null, reason: "log-unavailable", message: "…" })),
    (error: ArqonError) => error.reason === "log-unavailable" && /is stored/.test(error.message),
  );
});
