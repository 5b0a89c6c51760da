/**
 * The checks that can refuse a message, in order: up to the token in `connection/`, then in `pipeline.ts`, which a test
 * compares. docs/protocol.md and `arq status --path` show it.
 */
import type { Reason } from "@arqon/proto";

/** Each gate with its refusals. Gates of a disabled capability are skipped. */
export const GATES: readonly (readonly [gate: string, ...refusals: Reason[]])[] = [
  // #region order
  ["rate", "rate-limited"],
  ["decoding", "malformed-frame", "malformed-body"],
  ["queue", "too-many-pending"],
  ["token", "token-expired"],
  ["room", "invalid-room"],
  ["tenant", "tenant-mismatch"],
  ["grant", "not-granted"],
  ["ban", "banned", "room-banned", "spine-unavailable"],
  ["role", "reserved-type", "signal-forbidden", "command-forbidden"],
  ["shadow", "reserved-header"],
  ["filters' share", "rate-limited"],
  ["budget and quota", "budget-exhausted", "tenant-quota"],
  ["signature", "signature-required", "signature-no-key", "signature-invalid"],
  ["schema", "schema-violation", "schema-unavailable"],
  ["policies and hooks", "policy-rejected", "policy-fault"],
  ["ban, again", "banned", "room-banned", "spine-unavailable"],
  ["reducer's room", "not-granted"],
  ["Spine or log", "message-too-large", "spine-unavailable", "log-unavailable"],
  // #endregion
];
