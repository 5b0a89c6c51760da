/**
 * The codec of `shared/presence/wire.ts` against the code generated from `replication.proto`: the same bytes, and the
 * same field names.
 */
import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { schemaOf } from "../proto/testing/schemas.ts";
import type { ClusterMessage, Stays } from "../shared/presence/messages.ts";
import { LEAVE_CAUSES, type LeaveReason } from "../shared/records/leave_reason.ts";
import { messages } from "../shared/presence/testing/message_arbitraries.ts";
import { decodeMessage, encodeMessage } from "../shared/presence/wire.ts";

const ClusterMessageSchema = schemaOf("ClusterMessage");

type LeaveReasons = ReadonlyMap<number, LeaveReason>;

/** Those are uint32, which Protobuf's JSON writes as numbers; 64-bit ones are strings. */
const UINT32 = ["page", "pages", "classes_hash"];

/** Our value in Protobuf's JSON form. */
function jsonOf(name: string, value: unknown): unknown {
  if (typeof value === "number") return UINT32.includes(name) ? value : String(value);
  if (typeof value === "string") {
    if (name === "state") return `STATE_${value.toUpperCase()}`;
    return name === "meta" ? Buffer.from(value).toString("base64") : value;
  }
  if (Array.isArray(value)) return value.map((each) => jsonOf(name, each));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([, each]) => each !== undefined)
      .map(([key, each]) => [key, jsonOf(key, each)]),
  );
}

function expectedJson({ kind, ...rest }: ClusterMessage): unknown {
  const body = jsonOf(kind, rest) as Record<string, unknown>;
  if (kind === "announcement") {
    const { reasons = new Map<number, LeaveReason>() } = rest as { reasons?: LeaveReasons };
    body["reasons"] = [...reasons].map(([counter, cause]) => (
      { counter: String(counter), cause: LEAVE_CAUSES.indexOf(cause) }
    ));
  }
  if (kind === "stays") {
    body["stays"] = (rest as Stays).stays.map(({ cause, ...member }) => (
      { member: jsonOf("member", member), cause: LEAVE_CAUSES.indexOf(cause) }
    ));
  }
  if (kind === "beat") body["classes_hash"] ??= 0;
  if (kind === "pulled") body["unknown"] = body["delta"] === undefined;
  return { [kind]: body };
}

for (const [kind, message] of Object.entries(messages)) {
  Deno.test(`${kind}: the same bytes and names as the generated code`, () => {
    fc.assert(fc.property(message as fc.Arbitrary<ClusterMessage>, (written) => {
      const ours = encodeMessage(written);
      const parsed = fromBinary(ClusterMessageSchema, ours);
      const options = { useProtoFieldName: true, alwaysEmitImplicit: true };
      assert.deepEqual(toJson(ClusterMessageSchema, parsed, options), expectedJson(written));
      const theirs = toBinary(ClusterMessageSchema, parsed);
      assert.deepEqual(new Uint8Array(theirs), new Uint8Array(ours));
      assert.deepEqual(decodeMessage(theirs), written);
    }));
  });
}
