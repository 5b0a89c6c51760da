/**
 * Commands: an admitted `cmd` envelope goes to the Brain as a request, and the Brain's Ack comes
 * back. Not on the message path: a Brain's outage stops commands, never messages.
 */
import { ArqonError, readAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import {
  callerHeaders,
  CLAIMS_UNITS_MAX,
  pickClaims,
} from "../../shared/records/caller_headers.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine.ts";
import { commandSubject } from "../../shared/subjects/subject.ts";
import { commandAction } from "../auth/authorize.ts";
import { admit } from "./pipeline.ts";
import { spineHeaders, stamp } from "./stamp.ts";
import type { MessagePath } from "./pipeline.ts";
import type { Identity } from "../auth/identity.ts";
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
  if (commandAction(envelope.command?.name ?? "") === "presence") {
    requireShown(path, identity.tenant_id, envelope.room_id);
    // The Brain hears on one connection, in order: it knows this Shield's members before it answers.
    path.announce();
  }
  const request = stamp(path, identity, envelope, added);
  const subject = commandSubject(identity.tenant_id, envelope.room_id);
  const room_class = path.classes.of(identity.tenant_id, envelope.room_id);
  const headers = {
    ...spineHeaders(path, envelope, origin),
    ...(room_class.reducer === undefined ? undefined : whoCalls(identity, room_class)),
  };
  const { spine, commands } = path;
  const asked = { timeout_ms, headers };
  const has_id = (envelope.command?.command_id ?? "") !== "";
  const reply = commands === undefined
    ? await spine.request(subject, request, asked)
    : await commands.request(subject, request, asked, has_id);
  path.usage?.commanded(
    identity,
    room_class.pattern,
    envelope.size_bytes,
  );
  try {
    return { ...readAck(reply.payload), request_id: envelope.request_id };
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}

/** Who sends a command to a room with a reducer. Throws `invalid-command` for claims that are too long. */
function whoCalls(
  { role, claims }: Identity,
  { reducer_claims }: Pick<RoomClass, "reducer_claims">,
): SpineHeaders {
  const picked = pickClaims(reducer_claims, claims);
  const units = Object.entries(picked).reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    0,
  );
  if (units <= CLAIMS_UNITS_MAX) return callerHeaders({ role, claims: picked });
  const names = Object.keys(picked).join(", ");
  const detail =
    `the token's claims ${names} have ${units} characters; at most ${CLAIMS_UNITS_MAX}`;
  throw new ArqonError("invalid-command", detail);
}

/** Throws `presence-disabled` for a question about members in a room without presence. */
function requireShown(path: MessagePath, tenant_id: string, room_id: string): void {
  if (path.classes.of(tenant_id, room_id).presence) return;
  throw new ArqonError("presence-disabled", room_id);
}
