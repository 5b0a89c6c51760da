/**
 * Sends one command to a room's Brain for `arq room …`: opens the connection, retries the command under one command id,
 * and returns the answer as text and as an object. The files in `commands/` give the commands their meaning.
 */
import type { CommandOptions } from "@arqon/sdk";
import { CommandError, EXIT, printable } from "../terminal/exit.ts";
import { type Io, print } from "../terminal/io.ts";
import { membersOf } from "../answers/policy_text.ts";
import { openConnection } from "../bus/target.ts";
import type { ConnectionFlags, Flags } from "../program/flags.ts";
import type { Role } from "../bus/token.ts";

type RoomFlags = ConnectionFlags & Pick<Flags, "json">;

/** One command to a room. */
export interface RoomRequest extends Pick<Flags, "expectVersion" | "fence" | "commandId"> {
  readonly room: string;
  /** Full name of the command: "room.set". */
  readonly name: string;
  /** JSON text of an object; absent: the command has no data. */
  readonly data?: string;
  /** Role of the token, if one is created; absent: user. */
  readonly role?: Role;
}

/** The Brain's answer to a command. */
export interface RoomAnswer {
  /** The unchanged answer: one line of JSON. */
  readonly text: string;
  readonly members: Readonly<Record<string, unknown>>;
}

/** Sends a command on an open connection. Reads need no command id. */
export type Ask = (request: Omit<RoomRequest, "role" | "room">) => Promise<RoomAnswer>;

/** Long enough for a bus that restarts meanwhile. */
const COMMAND_TIMEOUT_MS = 30_000;

function answerOf(name: string, bytes: Uint8Array): RoomAnswer {
  const text = new TextDecoder().decode(bytes).replace(/[\r\n]/g, " ");
  try {
    return { text: text === "" ? "{}" : text, members: membersOf(JSON.parse(text || "{}")) };
  } catch {
    throw new CommandError(`the bus answers ${name} with something that is not JSON`);
  }
}

/** Opens a connection, passes `work` a function that sends commands to the room, and closes it. */
export async function withRoom<T>(
  io: Io,
  flags: RoomFlags,
  { room, role }: { readonly room: string; readonly role?: Role },
  work: (ask: Ask) => Promise<T>,
): Promise<T> {
  await using connection = await openConnection(io, flags, role === undefined ? {} : { role });
  return await work(async ({ name, data, expectVersion, fence, commandId }) => {
    const options: CommandOptions = {
      content_type: "application/json",
      timeout_ms: COMMAND_TIMEOUT_MS,
      ...(expectVersion === undefined ? {} : { expect_version: expectVersion }),
      ...(fence === undefined ? {} : { fence }),
      ...(commandId === undefined ? {} : { command_id: commandId }),
    };
    const { bytes } = await connection.room(room).command(name, data, options);
    return answerOf(name, bytes);
  });
}

/** Sends one command that makes a change. After a reconnect it is sent again, and applied once. */
export async function change(io: Io, flags: RoomFlags, request: RoomRequest): Promise<RoomAnswer> {
  const { room, role, ...command } = request;
  const target = role === undefined ? { room } : { room, role };
  return await withRoom(
    io,
    flags,
    target,
    (ask) => ask({ ...command, commandId: request.commandId ?? crypto.randomUUID() }),
  );
}

/** Prints the unchanged answer with `--json`, else `text`. */
export async function tell(
  io: Io,
  flags: RoomFlags,
  answer: RoomAnswer,
  text: string,
): Promise<number> {
  await print(io.stdout, flags.json === true ? `${answer.text}\n` : `${printable(text)}\n`);
  return EXIT.ok;
}

/** The end of every answer about a room's state: ` (version 4, epoch 17)`. */
export function positionText({ version, epoch }: Readonly<Record<string, unknown>>): string {
  if (version === undefined) return "";
  return ` (version ${version}${epoch === undefined || epoch === "" ? "" : `, epoch ${epoch}`})`;
}
