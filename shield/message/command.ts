/**
 * Commands: an admitted `cmd` envelope goes to the Brain as a request, and the Brain's Ack comes
 * back. Not on the message path: a Brain's outage stops commands, never messages.
 */
import { ArqonError, readAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { commandSubject } from "../../shared/subjects/subject.ts";
import { commandAction } from "../auth/authorize.ts";
import { admit, spineHeaders } from "./pipeline.ts";
import { stamp } from "./stamp.ts";
import type { MessagePath } from "./pipeline.ts";
import type { Caller } from "./caller.ts";

/** How a command is sent. */
export interface CommandOptions {
  readonly timeout_ms: number;
  /**
   * The connection that sent the command, which holds the lock that it takes. Absent for HTTP, which
   * has none.
   */
  readonly origin?: string;
}

/**
 * The Brain's answer, with the `request_id` of this request; a refusal is an answer, too. Rejects with
 * `brain-unavailable`, `command-timeout`, `presence-disabled`, or as `admit` refuses.
 */
export async function command(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  options: CommandOptions,
): Promise<Ack> {
  const { traces, journal } = path;
  try {
    const ack = await ask(path, caller, envelope, options);
    journal?.passed(envelope);
    traces?.answered(envelope, ack);
    return ack;
  } catch (error) {
    traces?.refused(caller, envelope, error);
    journal?.refused(envelope, error);
    throw error;
  }
}

async function ask(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  { timeout_ms, origin }: CommandOptions,
): Promise<Ack> {
  const { identity } = caller;
  const added = await admit(path, caller, envelope);
  // A ban may have come while policies judged the command.
  path.bans.requireRoom(identity, envelope.room_id);
  requireShown(path, identity.tenant_id, envelope);
  const request = stamp(path, identity, envelope, added);
  const subject = commandSubject(identity.tenant_id, envelope.room_id);
  const headers = spineHeaders(path, envelope, origin) ?? {};
  const reply = await path.spine.request(subject, request, { timeout_ms, headers });
  path.usage?.commanded(
    identity,
    path.classes.of(identity.tenant_id, envelope.room_id).pattern,
    envelope.size_bytes,
  );
  try {
    return { ...readAck(reply.payload), request_id: envelope.request_id };
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}

/** Throws `presence-disabled` for a question about members in a room without presence. */
function requireShown(path: MessagePath, tenant_id: string, envelope: ScannedEnvelope): void {
  if (commandAction(envelope.command?.name ?? "") !== "presence") return;
  if (path.classes.of(tenant_id, envelope.room_id).presence) return;
  throw new ArqonError("presence-disabled", envelope.room_id);
}
