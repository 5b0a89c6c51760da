/**
 * Reads a command from a stamped envelope of the Spine. Pure. The Shield has authorized the command; the capability
 * that serves it validates it.
 */
import { ArqonError, readEnvelope } from "@arqon/proto";
import type { PlainCommand, PlainEnvelope } from "@arqon/proto";
import { fullCommandName } from "../../shared/records/command_name.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import type { RoomAddress } from "../cluster_view.ts";
import { dataMembers, invalidCommand, shown } from "./command_data.ts";
import type { Members } from "./command_data.ts";

/** A command as a client sent it. */
export interface AskedCommand {
  readonly name: string;
  readonly members: Members;
  readonly command: PlainCommand;
  readonly user_id: string;
  /** The connection's id from the Shield; "" without one, as for a backend. */
  readonly connection_id: string;
  /** 32 hex digits; "" if the envelope has none. */
  readonly trace_id: string;
}

/** Answers a command with the result's JSON. Throws or rejects with the refusal. */
export type AnswerOwn = (
  at: RoomAddress,
  waiting: { readonly deadline_ms: number; readonly headers: SpineHeaders },
) => string | Promise<string>;

/** A command of a capability. */
export interface OwnCommand {
  /** The members that its data may have. */
  readonly members: readonly string[];
  /** Any Brain answers it; absent: the room's owner does. */
  readonly is_anywhere?: true;
  /** Reads a request. Throws `invalid-command`. */
  readonly read: (command: AskedCommand) => AnswerOwn;
}

/** The commands by their full names. */
export type OwnCommands = Readonly<Record<string, OwnCommand>>;

/** A parsed request. */
export interface Request {
  readonly is_anywhere: boolean;
  readonly answer: AnswerOwn;
}

/** The fields of an envelope that the Brain reads. */
export interface CommandEnvelope {
  readonly trace_id: string;
  readonly sender_id: string;
  readonly command: PlainCommand;
}

/**
 * Reads the envelope of a command. Throws a DecodeError (400), or `invalid-field` if the envelope has another room than
 * its subject.
 */
export function readCommandEnvelope(payload: Uint8Array, at: RoomAddress): CommandEnvelope {
  const envelope: PlainEnvelope = readEnvelope(payload);
  if (envelope.tenant_id !== at.tenant_id || envelope.room_id !== at.room_id) {
    throw new ArqonError("invalid-field", "tenant_id and room_id differ from the subject");
  }
  if (envelope.command === undefined) throw invalidCommand("the envelope carries no command");
  const { trace_id, sender_id, command } = envelope;
  return { trace_id, sender_id, command };
}

/** The full name of the command; undefined if this Brain does not serve it. */
export function commandName(name: string, own: OwnCommands): string | undefined {
  const full = fullCommandName(name);
  return Object.hasOwn(own, full) ? full : undefined;
}

/**
 * Reads the request of an envelope; `name` is that of its command. Throws `invalid-command` (400) with what is
 * expected. `connection_id`: the id from the Shield, "" without one.
 */
export function readRequest(
  { command, sender_id: user_id, trace_id }: CommandEnvelope,
  name: string | undefined,
  connection_id: string,
  own: OwnCommands,
): Request {
  const served = name === undefined ? undefined : own[name];
  if (name === undefined || served === undefined) {
    const known = Object.keys(own).join(", ") || "none";
    throw invalidCommand(`unknown name ${shown(command.name)}; this Brain serves ${known}`);
  }
  const members = dataMembers(name, served.members, command);
  const answer = served.read({ name, members, command, user_id, connection_id, trace_id });
  return { is_anywhere: served.is_anywhere ?? false, answer };
}
