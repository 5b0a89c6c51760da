/** The command line of `arq room history` and `arq room replay`; what they do is in `commands/`. */
import { Option } from "commander";
import type { Command } from "commander";
import { epoch, examples, offset, positive, rate, room } from "./options.ts";
import { withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const roomHistory = () => import("../../commands/room/room_history.ts");
const roomReplay = () => import("../../commands/room/room_replay.ts");

function addHistory(group: Command, run: Run): void {
  withConnection(group.command("history").argument("<room>", "the room", room))
    .description("print what a durable room keeps; where it stands is on stderr")
    .option("--after <offset>", "what comes after this offset", offset)
    .option("--before <offset>", "what comes before this offset", offset)
    .option("--epoch <epoch>", "of these two; refuse a room that began anew since", epoch)
    .option(
      "--limit <n>",
      "so many at most (default: 100)",
      positive("a whole number above 0", true, 2 ** 53),
    )
    .option("--reverse", "the newest first")
    .addOption(new Option("--all", "everything that is kept").conflicts("limit"))
    .option("--json", "one JSON object a line, with offset and epoch")
    .addHelpText(
      "after",
      "\nMessages have the form that arq sub gives them.\n" + examples(
        "arq room history orders --reverse --limit 10",
        "arq room history orders --after 1200 --json | jq .data",
        "arq room history orders --all > orders.ndjson",
      ),
    )
    .action(
      run(async (io, flags, [name]) =>
        (await roomHistory()).roomHistory(io, name as string, flags)
      ),
    );
}

function addReplay(group: Command, run: Run): void {
  withConnection(group.command("replay").argument("<room>", "the room to read", room))
    .description("publish what a durable room keeps again, into another room")
    .requiredOption("--to <room>", "the room that gets it", room)
    .option("--from <offset>", "begin after this offset (default: with the oldest message)", offset)
    .option("--epoch <epoch>", "of --from; refuse a room that began anew since", epoch)
    .option("--until <offset>", "the last one (default: where the room stands now)", offset)
    .option("--rate <n[/s]>", "at most n messages a second", rate)
    .option(
      "--window <n>",
      "messages under way before the first must be acknowledged; 1 keeps their order even when the bus refuses one for now (429, 503)",
      positive("a whole number from 1 to 1000", true, 1_000),
      256,
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nType, data, content type, schema and the publisher's headers stay; sender and time are new." +
        "\nEach message has a message_id made of its place: into a durable room, what is replayed twice" +
        "\nwithin two minutes is stored once. When it stops it says how to go on.\n" +
        examples(
          "arq room replay orders --to orders-copy --rate 500/s",
          "arq room replay orders --to orders-copy --from 1200 --until 3400",
        ),
    )
    .action(
      run(async (io, flags, [name]) => (await roomReplay()).roomReplay(io, name as string, flags)),
    );
}

/** Adds `history` and `replay` to `arq room`. */
export function addRoomHistory(group: Command, run: Run): void {
  addHistory(group, run);
  addReplay(group, run);
}
