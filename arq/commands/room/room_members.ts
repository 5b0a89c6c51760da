/** `arq room members`: prints who is in a room now, or how many are. */
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { tell, withRoom } from "../../rooms/room_command.ts";
import { countText, memberLine } from "../../answers/room_text.ts";
import type { Flags } from "../../program/flags.ts";

/** The options of `arq room members`. */
export type MembersFlags = Omit<Flags, "count"> & { readonly count?: boolean };

/** Prints a line for each member, with `--json` an object. The room may change from one page to the next. */
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
