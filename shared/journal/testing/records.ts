/** Records of the journal for tests. */
import { type JournalRecord, type PolicyRecord, RECORD_FORMAT } from "../record.ts";

/** A decision of `ann` about a message in `chat-1`, unless `change` says otherwise. */
export function recordOf(change: Partial<JournalRecord> = {}): JournalRecord {
  return {
    format: RECORD_FORMAT,
    id: "shield-1.7",
    time_ms: 1_700_000_000_000,
    node: "shield-1",
    tenant: "default",
    hook: "on_message",
    room: "chat-1",
    trace: null,
    message_id: null,
    offset: null,
    sender: { user: "ann", connection: "c1", remote_ip: "127.0.0.1" },
    type: "chat",
    content_type: "application/json",
    payload: { form: "kept", data: "eyJ9" },
    allowed: true,
    code: 0,
    reason: "",
    message: "",
    schema: null,
    chain_version: null,
    meter_version: 4,
    policies: [],
    ...change,
  };
}

/** A policy's part of a decision. */
export function decidedBy(name: string, change: Partial<PolicyRecord> = {}): PolicyRecord {
  return {
    name,
    module: "ab".repeat(32),
    abi: 1,
    mode: "enforce",
    allowed: true,
    code: 0,
    reason: "",
    fault: null,
    detail: "",
    units: 1_000,
    budget_units: 10_000,
    asking_bytes: 64,
    has_read_payload: true,
    reads: [{ from: "header", name: "x-lang", value: "de" }],
    writes: [],
    added_headers: [],
    payload: null,
    logs: [],
    ...change,
  };
}
