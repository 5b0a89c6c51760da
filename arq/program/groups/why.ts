/** The command line of `arq why` as commander sees it. */
import type { Command } from "commander";
import { calls, examples, id, offset, room, span, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const why = () => import("../../commands/cluster/why.ts");

/** Adds `arq why`. */
export function addWhy(program: Command, run: Run): void {
  withConnection(program.command("why"))
    .description("why somebody did not get a message, or what they got")
    .option("--message-id <id>", "messages with this message_id")
    .option("--trace <id>", "messages with this trace id")
    .option("--twist <id>", "the message with this X-Twist-ID")
    .option("--room <room>", "the room of the message, or of --offset and --since", room)
    .option("--offset <n>", "the message with this offset in --room", offset)
    .option("--user <id>", "its outcome for each connection of this user")
    .option("--connection <id>", "its outcome for this connection", id("connection"))
    .option("--address <ip>", "what was refused from this address; for operators of the bus")
    .option(
      "--since <time>",
      "all messages of --room so long ago at most: 10m, 1h or seconds",
      span("--since"),
    )
    .option("--tenant <id>", "tenant; that of the token if absent", id("tenant"))
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nWhat the journal says of a message comes first: schema, policies, and why it was refused." +
        "\nNeeds a token of role admin; an admin of one tenant asks about its own. Exit code 1 when" +
        "\nneither knows of it; the last lines say how far back the Shields' ledgers go.\n" +
        examples(
          "arq why --message-id order-4711 --user bob",
          "arq why --room orders --offset 17 --connection c3K9",
          "arq why --user bob --room orders --since 10m",
          "arq why --user bob --json | jq .refusals",
        ),
    )
    .action(run(calls(why, "why")));
}
