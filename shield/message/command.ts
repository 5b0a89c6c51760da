/**
 * Commands: an admitted `cmd` envelope goes to the Brain as a request, and the Brain's Ack comes back. Not on the
 * message path: an outage of the Brain stops commands, never messages.
 */
import { type Ack, ArqonError, readAck, type ScannedEnvelope } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import { judgedRoomOf } from "../../shared/rooms/reserved.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { commandSubject } from "../../shared/subjects/subject.ts";
import { commandAction } from "../auth/authorize.ts";
import { admit, type MessagePath, tellRefused } from "./pipeline.ts";
import { spineHeaders, stamp } from "./stamp.ts";
import type { Caller, HeaderPair } from "./caller.ts";

/** Answers a command of this name in the Shield itself; undefined: a Brain answers it. */
export type OwnCommands = (
  name: string,
) => ((caller: Caller, envelope: ScannedEnvelope) => Promise<Ack>) | undefined;

/** What answering commands needs of the process. */
export interface CommandAnswers {
  readonly path: MessagePath;
  readonly limits: Pick<Limits, "command_timeout_ms">;
  /** The commands that the Shield answers itself. */
  readonly own: OwnCommands;
}

/**
 * The answer of this Shield or a Brain, with the `request_id` of this request; a refusal by the Brain is an answer,
 * too. `origin` is the connection that sent the command, and holds its lock; absent for HTTP. Rejects with
 * `brain-unavailable`, `command-timeout`, `presence-disabled`, or as `admit` refuses.
 */
export async function runCommand(
  { path, limits: { command_timeout_ms }, own }: CommandAnswers,
  caller: Caller,
  envelope: ScannedEnvelope,
  origin?: string,
): Promise<Ack> {
  const answer = own(envelope.command?.name ?? "");
  if (answer !== undefined) return await answer(caller, envelope);
  const options = { timeout_ms: command_timeout_ms, origin };
  return await answered(
    path,
    caller,
    envelope,
    (room_class, added) => ask(path, caller, envelope, room_class, added, options),
  );
}

/** Has an admitted command answered, and reports the outcome to observers. Rejects as `admit` and `answer` do. */
export async function answered(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  answer: (room_class: RoomClass, added: readonly HeaderPair[] | undefined) => Promise<Ack>,
): Promise<Ack> {
  const { tenant_id } = caller.identity;
  const { room_id } = envelope;
  const added = await admit(path, caller, envelope);
  try {
    const action = commandAction(envelope.command?.name ?? "", path.actions);
    // Whoever reads what subscribers receive is judged as one.
    if (action === "subscribe") await path.overseer.onSubscribe(caller, judgedRoomOf(room_id));
    // A ban may have arrived while policies judged the command.
    path.bans.requireRoom(caller.identity, room_id);
    const room_class = path.classes.of(tenant_id, room_id);
    if (action === "presence") {
      if (!room_class.presence) throw new ArqonError("presence-disabled", room_id);
      // The Brain receives on one connection, in order: it knows this Shield's members before it answers.
      path.announce();
    }
    const ack = await answer(room_class, added);
    for (const tell of path.observers.answered) tell(caller, envelope, room_class, ack);
    return ack;
  } catch (error) {
    tellRefused(path, caller, envelope, error);
    throw error;
  }
}

async function ask(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  room_class: RoomClass,
  added: readonly HeaderPair[] | undefined,
  { timeout_ms, origin }: { readonly timeout_ms: number; readonly origin: string | undefined },
): Promise<Ack> {
  const { identity } = caller;
  const request = stamp(path, identity, envelope, added);
  const subject = commandSubject(identity.tenant_id, envelope.room_id);
  const headers = {
    ...spineHeaders(path, envelope, origin),
    ...path.callerOf?.(identity, room_class),
  };
  const { spine, commands } = path;
  const options = { timeout_ms, headers };
  const has_id = (envelope.command?.command_id ?? "") !== "";
  const asking = commands === undefined
    ? spine.request(subject, request, options)
    : commands.request(subject, request, options, has_id);
  const reply = await asking.catch((error) => {
    throw timedOut(error, envelope, timeout_ms);
  });
  try {
    return { ...readAck(reply.payload), request_id: envelope.request_id };
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}

/** The refusal of a command that waited for a version names the version: its Brain may have waited, too. */
function timedOut(error: unknown, { command, room_id }: ScannedEnvelope, timeout_ms: number) {
  const { after_version = 0 } = command ?? {};
  const is_late = error instanceof ArqonError && error.reason === "command-timeout";
  if (!is_late || BigInt(after_version) === 0n) return error;
  const detail = `${timeout_ms} ms: ${room_id} has not reached after_version ${after_version}, ` +
    "or its Brain does not answer";
  return new ArqonError("command-timeout", detail, { cause: error });
}
