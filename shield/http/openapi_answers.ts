/** Schemas of requests and answers in the client listener's HTTP API. */
import { BOOLEAN, object, TEXT, UNIX_MS } from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import { FIELD, POSITION as SENT_POSITION } from "./members.ts";

/** A number; beyond 2^53, a string of digits. */
export const POSITION: Schema = { type: ["number", "string"] };

/** The text form of an ACK with that result, and other members that it may lack. */
export const ackOf = (result: Schema, ...optional: string[]): Schema =>
  object({ op: { const: "ack" }, id: POSITION, code: { const: 0 }, offset: POSITION, result }, [
    ...optional,
    "offset",
  ]);

/** The result in a message's ACK, if requested. */
export const RECEIPT: Schema = object({
  receipt: {
    type: ["string", "null"],
    description: "signed promise of an entry in the room's transparency log; null: see reason",
  },
  reason: TEXT,
  message: TEXT,
}, ["reason", "message"]);

const DATA: Schema = {
  description: "any JSON; content_type selects JSON, a string, or an object with base64",
};
/** Members of every envelope in text form. */
const ENVELOPE = {
  id: { ...SENT_POSITION, description: "repeated in the answer" },
  ack: BOOLEAN,
  message_id: { ...FIELD, description: "makes a retry idempotent" },
  headers: { type: "object", additionalProperties: TEXT },
  trace_id: { ...TEXT, pattern: "^[0-9a-f]{32}$" },
  tenant_id: TEXT,
  signature: { ...TEXT, contentEncoding: "base64" },
  data: DATA,
  content_type: FIELD,
};
/** Members of a message in text form. */
export const EVENT = {
  type: FIELD,
  schema_id: FIELD,
  ...ENVELOPE,
  signal: object({
    kind: { ...TEXT, enum: ["DISCONNECT", "BAN", "UNBAN", "REVOKE", "DRAIN", "GAP"] },
    target: TEXT,
    reason: TEXT,
    until_ms: UNIX_MS,
  }, ["target", "reason", "until_ms"]),
};
/** The names of all members: none is required. */
export const all = (properties: Readonly<Record<string, Schema>>): readonly string[] =>
  Object.keys(properties);

/** The schema without unknown members: clients' requests are parsed strictly. */
export const only = (schema: Schema): Schema => ({ ...schema, additionalProperties: false });

/** One message to the room of the path. */
export const MESSAGE: Schema = only(object(EVENT, all(EVENT)));
/** Any command in text form. */
export const COMMAND: Schema = only(object({
  name: FIELD,
  ...ENVELOPE,
  expect_version: SENT_POSITION,
  after_version: SENT_POSITION,
  fence: SENT_POSITION,
  epoch: FIELD,
  command_id: FIELD,
}, [...all(ENVELOPE), "expect_version", "after_version", "fence", "epoch", "command_id"]));
