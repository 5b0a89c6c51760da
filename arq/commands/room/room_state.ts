/** `arq room get`: the keys of a room's state. */
import { plural } from "../../../shared/plural.ts";
import { objectMembers } from "../../../brain/desk/json_text.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import { positionText, type RoomAnswer, tell, withRoom } from "../../rooms/room_command.ts";
import { lockText } from "../../answers/room_text.ts";
import type { Flags } from "../../program/flags.ts";
import { inColumns, linesText } from "../../terminal/columns.ts";

/** The JSON text of an answer's member, so that a number beyond 2^53 or `1.0` is shown as it was written. */
function textOf(answer: RoomAnswer, member: string): string | undefined {
  try {
    return objectMembers(answer.text).get(member);
  } catch {
    throw new CommandError("the bus answers with something that is not a JSON object");
  }
}

async function tellValue(
  io: Io,
  flags: Flags,
  answer: RoomAnswer,
  at: { readonly room_id: string; readonly key: string },
): Promise<Ended> {
  const { room_id, key } = at;
  const exists = answer.members["exists"] === true;
  if (flags.json === true) await print(io.stdout, `${answer.text}\n`);
  else if (exists) await print(io.stdout, `${printable(textOf(answer, "value") ?? "")}\n`);
  if (exists) return EXIT.ok;
  const text = `room ${room_id} has no key ${JSON.stringify(key)}${positionText(answer.members)}`;
  await note(io, printable(text));
  return EXIT.failure;
}

async function tellState(
  io: Io,
  flags: Flags,
  answer: RoomAnswer,
  room_id: string,
): Promise<Ended> {
  if (flags.json === true) return await tell(io, flags, answer, "");
  const entries = [...objectMembers(textOf(answer, "state") ?? "{}")];
  const count = plural(entries.length, "key");
  await print(io.stderr, printable(`${room_id}: ${count}${positionText(answer.members)}`) + "\n");
  const lock = lockText(answer.members["lock"]);
  if (lock !== "") await print(io.stderr, `${lock}\n`);
  await print(io.stdout, linesText(inColumns(entries.map((entry) => entry.map(printable)))));
}

/** Prints one value, or all keys with their values. Returns 1 when the room does not have the key. */
export async function roomGet(
  io: Io,
  room_id: string,
  key: string | undefined,
  flags: Flags,
): Promise<Ended> {
  const answer = await withRoom(
    io,
    flags,
    { room: room_id },
    (ask) => ask({ name: "room.get", data: JSON.stringify({ key }) }),
  );
  if (key === undefined) return await tellState(io, flags, answer, room_id);
  return await tellValue(io, flags, answer, { room_id, key });
}
