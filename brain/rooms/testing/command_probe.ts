/**
 * For tests: sends room commands over a Spine as a Shield does (a stamped envelope in, an `Ack`
 * back). Checks nothing; not part of the Brain.
 */
import assert from "node:assert/strict";
import { type PlainCommand, readAck, writeEnvelope } from "@arqon/proto";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { commandSubject } from "../../../shared/subjects/subject.ts";
import { ORIGIN_HEADER } from "../../../shared/records/caller_headers.ts";

/** A command to `lobby` of tenant `acme` from `u1`, with overrides. */
export interface ProbeCommand extends Partial<Omit<PlainCommand, "data">> {
  readonly name: string;
  /** Converted to JSON unless it is text or bytes. */
  readonly data?: unknown;
  readonly tenant?: string;
  readonly room?: string;
  readonly sender?: string;
  /** The connection that the Shield names; absent: none. */
  readonly origin?: string;
  /** How long to wait for the Ack; absent: long. */
  readonly timeout_ms?: number;
}

/** The `Ack`, with its result as text. */
export interface ProbeReply {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly retry_after_ms: number;
  /** The result's JSON text; empty when refused. */
  readonly result: string;
}

/** The trace id of every envelope that the probe sends. */
export const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
/** Long enough for a loaded machine; an answer that never comes fails the test, not the clock. */
const TIMEOUT_MS = 30_000;

/** The envelope as a Shield puts it on the Spine. */
export function commandEnvelope(command: ProbeCommand): Uint8Array {
  const { tenant = "acme", room = "lobby", sender = "u1", data = "", ...rest } = command;
  const { origin: _origin, timeout_ms: _timeout_ms, ...fields } = rest;
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
  command: Partial<ProbeCommand> = {},
): Promise<ProbeReply> {
  const { tenant = "acme", room = "lobby", origin, timeout_ms = TIMEOUT_MS } = command;
  const subject = commandSubject(tenant, room);
  const headers: Record<string, string> = origin === undefined ? {} : { [ORIGIN_HEADER]: origin };
  const reply = await spine.request(subject, payload, { timeout_ms, headers });
  const { code, reason, message, retry_after_ms, result } = readAck(reply.payload);
  return { code, reason, message, retry_after_ms, result: new TextDecoder().decode(result) };
}

/** Sends one command and waits for its Ack. */
export function sendCommand(spine: Spine, command: ProbeCommand): Promise<ProbeReply> {
  return sendBytes(spine, commandEnvelope(command), command);
}

/**
 * Gives the commands to a Brain's own handler, all in one turn, and waits for their codes. Not over
 * the Spine, which may spread them over several turns.
 */
export function sendAtOnce(
  handle: (message: SpineMessage) => void,
  commands: readonly ProbeCommand[],
): Promise<number[]> {
  const all = commands.map((command) =>
    new Promise<number>((resolve) => {
      const { tenant = "acme", room = "lobby" } = command;
      handle({
        subject: commandSubject(tenant, room),
        payload: commandEnvelope(command),
        headers: command.origin === undefined ? {} : { [ORIGIN_HEADER]: command.origin },
        reply: "probe",
        respond: (ack) => resolve(readAck(ack).code),
      });
    })
  );
  return Promise.all(all);
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
