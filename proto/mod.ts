/**
 * The protocol of ArqonBus for any peer: frames, envelopes, codes. Runs in Deno, Node and browsers without
 * dependencies. The generated Protobuf classes, for tools, are not part of it.
 */
export * from "./errors/error.ts";
export * from "./room.ts";
export { CLOSES, ERRORS } from "./gen/errors.ts";
export type { CloseCode, Reason } from "./gen/errors.ts";
export { isReason, type ReasonRule, REASONS, ruleOf, ruleOfClose } from "./errors/reasons.ts";
export * from "./frame/opcode.ts";
export { type Uint64, WireReader } from "./wire/wire.ts";
export { type SpannedBytes, WireWriter, writePacked } from "./wire/wire_writer.ts";
export { fieldName, type FieldNames, seenOnce, skipField } from "./wire/fields.ts";
export * from "./envelope/scan.ts";
export { replaceData } from "./envelope/replace_data.ts";
export type { ScanLimits, ScannedCommand, ScannedEvent } from "./envelope/scan_payload.ts";
export * from "./frame/stamp.ts";
export * from "./envelope/envelope.ts";
export { encodeAck, encodeRefresh, encodeSub, encodeUnsub } from "./frame/control.ts";
export { encodeWelcome, readAck, readRefresh, readSubscribe } from "./frame/control.ts";
export { readUnsubscribe, readWelcome, writeAck } from "./frame/control.ts";
export type { Ack, Refresh, Subscribe, Unsubscribe, Welcome } from "./frame/control.ts";
export * from "./frame/presence.ts";
export * from "./frame/frame.ts";
export * from "./frame/delta.ts";
export * from "./frame/history.ts";
export { afterString as afterJsonString, arrayItems as jsonItems } from "./text/json_text.ts";
export { isJson, JSON_DEPTH_MAX, nestsTooDeep } from "./text/json_text.ts";
export { objectMembers as jsonMembers } from "./text/json_text.ts";
export type { Member as JsonMember, Span as JsonSpan } from "./text/json_text.ts";
export * from "./text/text.ts";
export * from "./text/text_encode.ts";
export * from "./envelope/signing.ts";
export { type DataForm, dataForm } from "./text/content_type.ts";
export { adler32 } from "./wire/adler32.ts";
export { encodeUtf8, strictText, utf8OrUndefined, utf8Size } from "./wire/utf8.ts";
export * from "./tlog/merkle.ts";
export * from "./tlog/note.ts";
export { sha256 } from "./tlog/sha256.ts";
export * from "./tlog/tiles.ts";
