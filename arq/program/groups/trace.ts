/** The command line of `arq trace` as commander sees it. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { calls, examples, httpUrl } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const trace = () => import("../../commands/cluster/trace.ts");

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
    .action(run(calls(trace, "trace")));
}
