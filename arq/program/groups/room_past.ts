/**
 * The command line of `arq room fork`, `trim` and `repair`, of rooms with reducers; what they do is in
 * `commands/reducer/room_past.ts`.
 */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import type { EntryOrTime } from "../../commands/reducer/room_past.ts";
import { examples, id, offset, pastMoment, room, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const roomPast = () => import("../../commands/reducer/room_past.ts");

function withReduced(group: Command, name: string): Command {
  return withConnection(group.command(name))
    .argument("<room>", "a room with a reducer", room)
    .option("--tenant <id>", "tenant", id("tenant"), "default");
}

/** Reads `1200` as an entry, anything else as a time. */
function entryOrTime(text: string): EntryOrTime {
  if (/^\d+$/.test(text)) return { offset: offset(text) };
  try {
    return { time_ms: pastMoment(text) };
  } catch {
    throw new InvalidArgumentError("Expected an entry, as 1200, or a time, as 14:05.");
  }
}

function addFork(group: Command, run: Run): void {
  withReduced(group, "fork")
    .description("begin a room with the past of another one, up to an entry or a time")
    .requiredOption("--to <room>", "the room that begins; nobody has called it yet", room)
    .option(
      "--at <place>",
      "an entry of the log, or a time as 14:05 by the room's clock (default: the last entry)",
      entryOrTime,
    )
    .option("--no-timers", "nothing that the other room has scheduled runs in this one")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nBoth rooms have one reducer. The new one remembers ids of calls, as the other one did, and its" +
        "\nfirst entry is the next one. The other room is not changed by anything that happens there. It" +
        "\nneeds a token of role admin.\n" +
        examples(
          "arq room fork auction-1 --to auction-1-again --at 1200",
          "arq room fork auction-1 --to what-if --at 14:05 --no-timers",
        ),
    )
    .action(
      run(async (io, flags, [name]) => (await roomPast()).roomFork(io, name as string, flags)),
    );
}

function addTrim(group: Command, run: Run): void {
  withReduced(group, "trim")
    .description(
      "remove the past of a room with a reducer: its log up to a snapshot, and older snapshots",
    )
    .option(
      "--before <offset>",
      "as far as this entry (default: all that it can go on without)",
      offset,
    )
    .option("--yes", "do not ask")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nWhat the room is stays. Without --before it is stored whole now, and nothing of its log is left" +
        "\nthat has a call in it; with --before, the past goes as far as the last snapshot that is not" +
        "\nbehind that entry. Events that were published are messages of the room, and stay. It needs a" +
        "\ntoken of role admin.\n" +
        examples("arq room trim auction-1 --yes", "arq room trim auction-1 --before 120000"),
    )
    .action(
      run(async (io, flags, [name]) => (await roomPast()).roomTrim(io, name as string, flags)),
    );
}

function addRepair(group: Command, run: Run): void {
  withReduced(group, "repair")
    .description(
      "let a room with a reducer go on that is refused because entries of its log are lost",
    )
    .option("--accept-loss", "what is lost may be lost; nothing is done without it")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nIt goes on from the newest state that snapshots and log still make, as if the lost entries had" +
        "\nchanged nothing, and says which those are. Their numbers are not used again, nor are their" +
        "\nevents told again. A room that has lost nothing is left as it is. It needs a token of role" +
        "\nadmin.\n" +
        examples("arq room repair auction-1 --accept-loss"),
    )
    .action(
      run(async (io, flags, [name]) => (await roomPast()).roomRepair(io, name as string, flags)),
    );
}

/** Adds `fork`, `trim` and `repair` to `arq room`. */
export function addRoomPast(group: Command, run: Run): void {
  addFork(group, run);
  addTrim(group, run);
  addRepair(group, run);
}
