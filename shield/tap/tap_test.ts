/** The messages that Shields copy to the Brains' tap. */
import assert from "node:assert/strict";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import { ann } from "../auth/testing/identity.ts";
import { createTap } from "./capability.ts";
import { callerOf, passedOf, scan } from "../message/testing/path.ts";

const RECORDED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function envelope(number: number): Uint8Array {
  const trace_id = number.toString(16).padStart(32, "0");
  return writeEnvelope({ trace_id, tenant_id: "acme", room_id: "lobby", event: { type: "chat" } });
}

/** Subject and headers of the copies of these messages. */
function shown(fraction: number, messages: readonly Uint8Array[], headers?: SpineHeaders) {
  const given: { subject: string; envelope: Uint8Array; headers: SpineHeaders | undefined }[] = [];
  const tap = createTap({
    give: (subject, envelope, headers) => void given.push({ subject, envelope, headers }),
  }, fraction);
  for (const one of messages) {
    tap?.passed?.(passedOf({ caller: callerOf(ann), envelope: scan(), routed: one, headers }));
  }
  return given;
}

const THOUSAND = Array.from({ length: 1_000 }, (_none, number) => envelope(number));

Deno.test("a fraction of messages is copied to a subject without client subscribers", () => {
  const given = shown(0.1, THOUSAND);
  assert.ok(given.length > 50 && given.length < 200, `${given.length} of 1000`);
  assert.ok(
    given.every(({ subject, headers }) =>
      subject === "tap.t.acme.r.lobby" && headers === undefined
    ),
  );
  assert.equal(shown(1, THOUSAND).length, 1_000);
  assert.equal(shown(0, THOUSAND).length, 0);
});

Deno.test("a message of a recorded trace is copied with only its traceparent", () => {
  const headers = { [TRACEPARENT]: RECORDED, "x-arqon-origin": "c1" };
  assert.deepEqual(shown(1e-9, THOUSAND.slice(1, 2), headers).map(({ headers }) => headers), [
    { [TRACEPARENT]: RECORDED },
  ]);
  const unrecorded = { [TRACEPARENT]: RECORDED.replace(/01$/, "00") };
  assert.equal(shown(1e-9, THOUSAND.slice(1, 2), unrecorded).length, 0);
});

Deno.test("an unreadable envelope or a Spine that refuses does not fail a publish", () => {
  assert.equal(shown(0.5, [new Uint8Array([0xff, 0xff, 0xff])]).length, 0);
  const tap = createTap({
    give: () => {
      throw new ArqonError("spine-unavailable");
    },
  }, 1);
  tap?.passed?.(passedOf({ caller: callerOf(ann), envelope: scan(), routed: envelope(1) }));
});
