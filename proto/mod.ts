/**
 * What any peer needs to speak ArqonBus: frames, envelopes, codes. Runs in Deno, Node and browsers
 * and has no dependency. The generated Protobuf classes are not part of it: they are for tools.
 */
export * from "./error.ts";
export * from "./room.ts";
export { CLOSES, ERRORS } from "./gen/errors.ts";
export type { CloseCode, Reason } from "./gen/errors.ts";
export { isReason, type ReasonRule, REASONS, ruleOf, ruleOfClose } from "./reasons.ts";
export * from "./opcode.ts";
export * from "./decode_error.ts";
export { type Uint64, WireReader } from "./wire.ts";
export { WireWriter, writePacked } from "./wire_writer.ts";
export { fieldName, type FieldNames, seenOnce, skipField } from "./fields.ts";
export * from "./scan.ts";
export type { ScanLimits, ScannedCommand, ScannedEvent } from "./scan_payload.ts";
export * from "./stamp.ts";
export * from "./envelope.ts";
export type { SignalKind } from "./signal_kind.ts";
export * from "./control.ts";
export * from "./presence.ts";
export * from "./frame.ts";
export * from "./history.ts";
export {
  afterString as afterJsonString,
  arrayItems as jsonItems,
  type Member as JsonMember,
  objectMembers as jsonMembers,
  type Span as JsonSpan,
} from "./json_span.ts";
export * from "./text.ts";
export * from "./text_encode.ts";
export * from "./signing.ts";
export { type DataForm, dataForm } from "./content_type.ts";
export { utf8Size } from "./utf8.ts";
