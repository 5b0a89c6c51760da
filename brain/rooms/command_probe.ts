/**
 * For tests: sends room commands over a Spine the way a Shield does (a stamped envelope, an `Ack`
 * back). Checks nothing; not part of the Brain.
 */
import assert from "node:assert/strict";
import { readAck, writeEnvelope } from "@arqon/proto";
import type { PlainCommand } from "@arqon/proto";
import type { Spine } from "../../shared/spine/spine.ts";
import { commandSubject } from "../../shared/subject.ts";

/** A command to `lobby` of tenant `acme` from `u1`, unless it says otherwise. */
export interface ProbeCommand extends Partial<Omit<PlainCommand, "data">> {
  readonly name: string;
  /** Made JSON unless it is text or bytes already. */
  readonly data?: unknown;
  readonly tenant?: string;
  readonly room?: string;
  readonly sender?: string;
}

/** The Ack, with its result as text. */
export interface ProbeReply {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly retry_after_ms: number;
  /** The result's JSON text; empty when refused. */
  readonly result: string;
}

/** Of every envelope that the probe sends. */
export const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
/** Long enough for a loaded machine; an answer that never comes fails the test, not the clock. */
const TIMEOUT_MS = 30_000;

/** The envelope as a Shield puts it on the Spine. */
export function commandEnvelope(command: ProbeCommand): Uint8Array {
  const { tenant = "acme", room = "lobby", sender = "u1", data = "", ...fields } = command;
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return writeEnvelope({
    trace_id: TRACE_ID,
    tenant_id: tenant,
    room_id: room,
    timestamp_ms: 1_700_000_000_000,
    sender_id: sender,
    command: {
      content_type: "application/json",
      ...fields,
      data: data instanceof Uint8Array ? data : new TextEncoder().encode(text),
    },
  });
}

/** Sends the bytes as a command to a room. */
export async function sendBytes(
  spine: Spine,
  payload: Uint8Array,
  tenant = "acme",
  room = "lobby",
): Promise<ProbeReply> {
  const subject = commandSubject(tenant, room);
  const reply = await spine.request(subject, payload, { timeout_ms: TIMEOUT_MS });
  const { code, reason, message, retry_after_ms, result } = readAck(reply.payload);
  return { code, reason, message, retry_after_ms, result: new TextDecoder().decode(result) };
}

/** Sends one command and waits for its Ack. */
export function sendCommand(spine: Spine, command: ProbeCommand): Promise<ProbeReply> {
  return sendBytes(spine, commandEnvelope(command), command.tenant, command.room);
}

/** The result of a command that must be accepted. */
// deno-lint-ignore no-explicit-any -- the shape depends on the command
export async function accepted(spine: Spine, command: ProbeCommand): Promise<any> {
  const reply = await sendCommand(spine, command);
  assert.equal(reply.code, 0, `${reply.reason}: ${reply.message}`);
  return JSON.parse(reply.result);
}

/** `code reason` of a command that must be refused. */
export async function refused(spine: Spine, command: ProbeCommand): Promise<string> {
  const { code, reason } = await sendCommand(spine, command);
  return `${code} ${reason}`;
}
