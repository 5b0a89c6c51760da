/**
 * `arq room members`: prints a room's present members, or their number; with `--at` those at an earlier time, from its
 * journal of members.
 */
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { tell, withRoom } from "../../rooms/room_command.ts";
import { countText, memberLine } from "../../answers/room_text.ts";
import type { Flags } from "../../program/flags.ts";
import { MembersAt } from "../../../shared/membership/book.ts";
import { readEntry } from "../../../shared/membership/entry.ts";
import { membersRoomOf, RECORDED_UNITS_MAX } from "../../../shared/rooms/reserved.ts";
import { openConnection } from "../../bus/target.ts";
import { historyPages, isKnownPlace, patient, storedIn } from "../../rooms/history.ts";
import { time } from "../../answers/figures.ts";

type MembersFlags = Omit<Flags, "count"> & { readonly count?: boolean };

/** Prints a line for each member, with `--json` an object. The room may change from one page to the next. */
export async function roomMembers(io: Io, room_id: string, flags: MembersFlags): Promise<Ended> {
  return await withRoom(io, flags, { room: room_id }, async (ask) => {
    if (flags.count === true) {
      const answer = await ask({ name: "presence.count" });
      return await tell(io, flags, answer, countText(answer.members));
    }
    let after: unknown;
    let last: Readonly<Record<string, unknown>>;
    do {
      const { members } = await ask({ name: "presence.list", data: JSON.stringify({ after }) });
      const lines = listOf(members["members"]).map((member) =>
        flags.json === true ? `${JSON.stringify(member)}\n` : memberLine(membersOf(member))
      );
      await print(io.stdout, lines.join(""));
      last = members;
      after = members["next"];
    } while (after !== undefined);
    await print(io.stderr, `${printable(room_id)}: ${countText(last)}\n`);
    return EXIT.ok;
  });
}

/** Prints a line for each member at that time, with `--json` an object. Exits with 1 when that is unknown. */
export async function roomMembersAt(io: Io, room_id: string, flags: MembersFlags): Promise<Ended> {
  const { json = false, count = false } = flags;
  const members_room_id = membersRoomOf(room_id);
  if (members_room_id === undefined) {
    throw usageError(`a room with a journal of members has an id of up to ${RECORDED_UNITS_MAX}`);
  }
  await using connection = await openConnection(io, flags);
  const { at = connection.welcome.server_time_ms } = flags;
  const room = connection.room(members_room_id);
  const isKnown = (place: Parameters<typeof isKnownPlace>[1]) => isKnownPlace(room, place);
  const then = new MembersAt(at);
  reading: for await (
    const page of historyPages(patient(storedIn(room), io), { total: Infinity, isKnown })
  ) {
    for (const { type, data } of page.messages) {
      const entry = readEntry(type, new TextDecoder().decode(data));
      if (entry !== undefined && !then.read(entry)) break reading;
    }
    if (!page.more) break;
  }
  const when = time(at);
  const { members, begins_ms } = then;
  if (members === undefined) {
    const begins = begins_ms === Infinity
      ? "its journal is empty"
      : begins_ms > at
      ? `its journal does not reach back so far: it begins at ${time(begins_ms)}`
      : "its journal has no list of all members yet";
    throw new CommandError(`the members of ${room_id} at ${when} are unknown: ${begins}`);
  }
  const users = new Set(members.map(({ issuer, user_id }) => `${issuer} ${user_id}`)).size;
  const total = { connections: members.length, users };
  if (count) return { json: total, text: `${countText(total)}\n` };
  const lines = members.map((one) => json ? `${JSON.stringify(one)}\n` : memberLine(one));
  await print(io.stdout, lines.join(""));
  await print(io.stderr, `${printable(room_id)} at ${when}: ${countText(total)}\n`);
}
