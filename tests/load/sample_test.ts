/** Both forms of a sample say the same, and the Protobuf one is what its schema takes. */
import assert from "node:assert/strict";
import { readSampleJson, readSampleProtobuf, sampleJson, sampleProtobuf } from "./sample.ts";

const SAMPLE = { tenant_id: "acme", room_id: "feed-12", sequence: 77, sent_ms: 1234.5678 };

Deno.test("a sample comes back as it was written, in either form", () => {
  const { text: _, ...json } = readSampleJson(sampleJson(SAMPLE)) as typeof SAMPLE & {
    text: string;
  };
  assert.deepEqual(json, SAMPLE);
  assert.deepEqual(readSampleProtobuf(sampleProtobuf(SAMPLE)), SAMPLE);
  assert.throws(() => readSampleProtobuf(new Uint8Array(40)), RangeError);
});
