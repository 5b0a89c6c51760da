/** The command line of `arq why` and `arq trace` as commander sees it: the outcome of a message. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { calls, examples, httpUrl, id, offset, room, span, withConnection } from "./options.ts";
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

/** Reads a trace id, or the trace id of a traceparent. */
function traceId(text: string): string {
  const trace_id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(text)?.[1] ?? text;
  if (/^[0-9a-f]{32}$/.test(trace_id) && /[^0]/.test(trace_id)) return trace_id;
  throw new InvalidArgumentError("Expected 32 hex digits in lower case, or a traceparent.");
}

/** Adds `arq trace`. */
export function addTrace(program: Command, run: Run): void {
  program.command("trace")
    .description("the spans of one trace as a tree, from Jaeger")
    .argument("<id>", "trace id, as in messages, logs and traceparent", traceId)
    .option(
      "--jaeger-url <url>",
      "Jaeger's query service, for example http://127.0.0.1:16686",
      httpUrl,
    )
    .option("--json", "print the spans as JSON")
    .addHelpText(
      "after",
      "\nThe bus sends spans to [telemetry] otlp_url and keeps none; Jaeger must get them from there." +
        "\nExit code 1 when Jaeger has no such trace.\n" +
        examples(
          "arq trace 0af7651916cd43dd8448eb211c80319c --jaeger-url http://127.0.0.1:16686",
          "arq trace 0af7651916cd43dd8448eb211c80319c --jaeger-url http://127.0.0.1:16686 --json",
        ),
    )
    .action(run(calls(() => import("../../commands/cluster/trace.ts"), "trace")));
}
