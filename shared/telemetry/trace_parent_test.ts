/** A client's traceparent, found in the bytes of its envelope. */
import assert from "node:assert/strict";
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../config/load.ts";
import { clientContext, clientTraceId } from "./trace_parent.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const { limits } = configFrom({});
const scanned = (headers: Record<string, string>) =>
  scanEnvelope(writeEnvelope({ room_id: "r", headers, event: { type: "t" } }), limits);

Deno.test("a traceparent is found by its name in any case, among other headers", () => {
  for (const name of ["traceparent", "Traceparent", "TRACEPARENT"]) {
    const envelope = scanned({ "x-one": "1", [name]: PARENT, "tracestate": "a=b" });
    assert.deepEqual({ ...clientContext(envelope) as object }, {
      trace_id: TRACE,
      span_id: "b7ad6b7169203331",
      sampled: true,
    });
    assert.equal(clientTraceId(envelope), TRACE);
  }
});

Deno.test("a missing one is undefined, and an unreadable one is invalid", () => {
  assert.equal(clientContext(scanned({})), undefined);
  assert.equal(clientContext(scanned({ "traceparents": PARENT, "traceparen": PARENT })), undefined);
  for (const traceparent of ["", "ff", `${PARENT}-more`]) {
    assert.equal(clientContext(scanned({ traceparent })), "invalid");
    assert.equal(clientTraceId(scanned({ traceparent })), undefined);
  }
});
