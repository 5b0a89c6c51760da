/** `arq room members`: who is in a room now, page by page, or how many. */
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { tell, withRoom } from "../../rooms/room_command.ts";
import type { RoomFlags } from "../../rooms/room_command.ts";
import { countText, memberLine } from "../../answers/room_text.ts";

/** The command's options. */
export interface MembersFlags extends RoomFlags {
  /** Only how many. */
  readonly count?: boolean;
}

/** Prints a line for each member, with `--json` an object; the pages are of moments in a row. */
export async function roomMembers(io: Io, room_id: string, flags: MembersFlags): Promise<number> {
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
