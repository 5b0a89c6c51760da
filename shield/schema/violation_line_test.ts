/** The log line of a violation is literally the one in docs/governance.md. */
import assert from "node:assert/strict";
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { LIMITS } from "../message/testing/path.ts";
import { testSpine } from "../testing/spine.ts";
import { field } from "./testing/messages.ts";
import { testSchemas } from "./testing/registry.ts";
import { upload } from "./testing/schemas.ts";

const GOVERNANCE = new URL("../../docs/governance.md", import.meta.url);

/** `t.Vehicle` with a required `id`, and `count` more fields. */
const vehicle = (count: number) =>
  upload({
    syntax: "proto2",
    messageType: [{
      name: "Vehicle",
      field: [
        field("id", 1, "string", { label: "LABEL_REQUIRED" }),
        ...Array.from({ length: count }, (_, at) => field(`f${at}`, at + 2, "string")),
      ],
    }],
  });

Deno.test("a violation's line in the log is the documented one, field by field in its order", async () => {
  const text = await Deno.readTextFile(GOVERNANCE);
  const documented = text.split("\n").filter((line) =>
    line.includes("an event violates its schema")
  );
  assert.equal(documented.length, 1);
  const at = / ts=(\S+)$/.exec(documented[0] ?? "")?.[1] ?? "";
  await using engine = testSpine();
  const mapping = { subject: "in.t.acme.r.vehicles-*", schema_id: "fleet", message: "t.Vehicle" };
  using t = await testSchemas(engine.spine, { mappings: [mapping], now: () => Date.parse(at) });
  for (let count = 0; count < 3; count++) await t.push("fleet", vehicle(count));
  await until("version 3", () => t.lines.some((line) => line.includes("schema=fleet version=3")));
  const event = { type: "moved", data: new TextEncoder().encode('{"f0":"x"}') };
  const envelope = writeEnvelope({
    room_id: "vehicles-7",
    event: { ...event, content_type: "application/json" },
  });
  const subject = roomSubject("in", "acme", "vehicles-7");
  const refusal = t.schemas.gate.check(subject, "acme", scanEnvelope(envelope, LIMITS));
  assert.equal(refusal?.error.message, "Schema violation: id: required");
  assert.equal(t.lines.at(-1), `${documented[0]}\n`);
});
