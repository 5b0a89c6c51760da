/** Envelopes with replaced data, compared with protobuf-es. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import fc from "fast-check";
import { EnvelopeSchema } from "../testing/schemas.ts";
import { bytes, envelopeInit, varintBytes, WIDE } from "../testing/arbitraries.ts";
import { writeEnvelope } from "./envelope.ts";
import { scanEnvelope, scannedBytes } from "./scan.ts";
import { replaceData } from "./replace_data.ts";

Deno.test("an envelope with replaced data is otherwise unchanged, wherever the data is", () => {
  let replaced = 0;
  const signed = fc.constantFrom(new Uint8Array(), new Uint8Array(), Uint8Array.of(1));
  const envelope = fc.tuple(envelopeInit, signed).map(([init, signature]) =>
    toBinary(EnvelopeSchema, create(EnvelopeSchema, { ...init, signature }))
  );
  fc.assert(fc.property(envelope, bytes(300), fc.nat({ max: 9 }), (sent, data, before) => {
    const padded = new Uint8Array(before + sent.length);
    padded.set(sent, before);
    const scan = scanEnvelope(padded, WIDE, before);
    if (scan.signature !== undefined || scan.payload.kind === "signal") {
      assert.throws(() => replaceData(scan, data, WIDE), TypeError);
      return;
    }
    replaced++;
    const wanted = fromBinary(EnvelopeSchema, sent);
    assert.ok(wanted.payload.case === "event" || wanted.payload.case === "cmd");
    wanted.payload.value.data = data;
    replaceData(scan, data, WIDE);
    assert.deepEqual(fromBinary(EnvelopeSchema, scannedBytes(scan)), wanted);
    assert.deepEqual({ ...scan }, { ...scanEnvelope(scannedBytes(scan), WIDE) });
    const body = scan.event ?? scan.command;
    assert.deepEqual([...scan.bytes.subarray(body!.data_start, body!.data_end)], [...data]);
  }));
  assert.ok(replaced > 10);
});

Deno.test("values set on the envelope after the scan stay", () => {
  const sent = writeEnvelope({ event: { type: "t", data: Uint8Array.of(1) } });
  const set = { room_id: "lobby", trace_id: "0af7651916cd43dd8448eb211c80319c" };
  const scan = { ...scanEnvelope(sent, WIDE), ...set };
  replaceData(scan, Uint8Array.of(2, 3), WIDE);
  assert.deepEqual({ room_id: scan.room_id, trace_id: scan.trace_id }, set);
  assert.equal(scan.size_bytes, sent.length + 1);
});

Deno.test("fields in any order, unknown ones and long tags are kept or rewritten", () => {
  const field = (number: number, body: readonly number[]) => [
    ...varintBytes(number * 8 + 2),
    ...varintBytes(body.length),
    ...body,
  ];
  // Event.data between unknown fields, and before the type.
  const body = [...field(90, [1, 2]), ...field(2, [9, 9, 9]), ...field(1, [97]), ...field(91, [3])];
  // The tag of the event in three bytes.
  const event = [0xaa, 0x81, 0x00, ...varintBytes(body.length), ...body];
  const scan = scanEnvelope(Uint8Array.from([...event, ...field(3, [114])]), WIDE);
  replaceData(scan, Uint8Array.of(7), WIDE);
  const expected = [...field(90, [1, 2]), ...field(2, [7]), ...field(1, [97]), ...field(91, [3])];
  assert.deepEqual([...scannedBytes(scan)], [...field(21, expected), ...field(3, [114])]);
  assert.equal(scan.room_id, "r");
  replaceData(scan, new Uint8Array(), WIDE);
  const empty = [...field(90, [1, 2]), ...field(1, [97]), ...field(91, [3])];
  assert.deepEqual([...scannedBytes(scan)], [...field(21, empty), ...field(3, [114])]);
});
