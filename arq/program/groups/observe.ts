/**
 * The command line of `arq status`, `arq top`, `arq tail` and `arq usage`, which show what the bus does, and of `arq
 * doctor`, which looks at all that it needs.
 */
import type { Command } from "commander";
import { asks, from } from "./asks.ts";
import { calls, count, examples, positive, room, someTenant, span } from "./options.ts";
import { withConnection, withOpsTokenFile, withTenant } from "./options.ts";
import type { Run } from "./options.ts";
import { usageError } from "../../terminal/exit.ts";

// A command is loaded when it runs.
const status = () => import("../../commands/cluster/status.ts");
const tail = () => import("../../commands/cluster/tail.ts");
const top = () => import("../../commands/cluster/top.ts");
const usage = () => import("../../answers/usage_text.ts");

const seconds = positive("a number of seconds up to 3600", false, 3_600);

function addStatus(program: Command, run: Run): void {
  withOpsTokenFile(withConnection(program.command("status")))
    .description("is the bus ready, and what does it do?")
    .option("--watch [seconds]", "again and again (every 2 seconds), until Ctrl-C", seconds)
    .option("--path", "the order in which a message can be refused, of this release")
    .option("--json", "print it as JSON; with --watch, an object a line")
    .addHelpText(
      "after",
      "\nReadiness comes from the ops listener, the cluster's nodes and the figures from the admin API" +
        "\n(token of role admin). Exit code 1 when the bus, or a node of the cluster, is not ready.\n" +
        examples(
          "arq status",
          "arq status --watch",
          "arq status --ops-url http://10.0.0.7:4001 --json",
        ),
    )
    .action(run(calls(status, "status")));
}

function addTop(program: Command, run: Run): void {
  withConnection(program.command("top"))
    .description("what the cluster does: nodes, busiest tenants, rooms and policies")
    .option("--interval <seconds>", "time between two views", seconds, 2)
    .option("--rows <n>", "rows of each list", positive("a whole number to 1000", true, 1_000), 10)
    .option("--count <n>", "end after n views", count)
    .option("--json", "print one JSON object a view")
    .addHelpText(
      "after",
      "\nNeeds a token of role admin. Rates are between two views; on a terminal a view replaces the" +
        "\none before, in a pipe it follows it.\n" +
        examples("arq top", "arq top --interval 5 --rows 20", "arq top --count 1 --json"),
    )
    .action(run(calls(top, "top")));
}

function addTail(program: Command, run: Run): void {
  withTenant(withConnection(program.command("tail")), "tenant of the room")
    .description("the messages of a room as they come, for an operator")
    .argument("<room>", "the room", room)
    .option("--count <n>", "end after n messages", count)
    .option("--json", "print one JSON object a line")
    .addHelpText(
      "after",
      "\nNeeds a token of role admin and joins nothing; arq sub shows what a user of the room gets." +
        "\nWho reads too slowly misses messages, and is told so on stderr.\n" +
        examples("arq tail lobby", "arq tail orders --tenant acme --json | jq .type"),
    )
    .action(run(calls(tail, "tail")));
}

function addUsage(program: Command, run: Run): void {
  someTenant(withConnection(program.command("usage")), "tenant; that of the token if absent")
    .description("what a tenant has used: messages, deliveries, connections, fuel, storage, cost")
    .option("--by <list>", "told apart by some of room, user, policy, node, minute, hour, day")
    .option(
      "--since <time>",
      "of the minutes so long ago at most: 30d, 1h or seconds",
      span("--since"),
      86_400,
    )
    .option("--csv", "print the rows as CSV with every unit")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nNeeds a token of role admin, and a bus with [usage] enabled; an admin of one tenant asks about" +
        "\nits own. user is the class of users by [usage] user_claim. cost is by [usage.prices]. Shields" +
        "\nthat were killed are named, with the time of which their last counts are missing.\n" +
        examples(
          "arq usage --by room,policy,user --since 30d",
          "arq usage --tenant acme --by day --since 30d --csv > acme.csv",
          "arq usage --json | jq .total.cost",
        ),
    )
    .action(run(asks({
      route: "GET /v1/usage?since_ms,tenant,by",
      given(given) {
        if (given["csv"] !== true || given["json"] !== true) return given;
        throw usageError("give one of --csv and --json");
      },
      times: async ({ since }, ago) => ({ since_ms: await ago(since) }),
      text: from(usage, "usageText"),
    })));
}

/** Adds `arq status`, `arq top`, `arq tail` and `arq usage`. */
export function addObserve(program: Command, run: Run): void {
  addStatus(program, run);
  addTop(program, run);
  addTail(program, run);
  addUsage(program, run);
}

/** Adds `arq doctor`. */
export function addDoctor(program: Command, run: Run): void {
  withOpsTokenFile(withConnection(program.command("doctor")))
    .description("look at all that a bus on this machine needs, and say how to put it right")
    .option("--config <file>", "the configuration to look at (default: config.toml, if it is here)")
    .option("--json", "print the findings as JSON")
    .addHelpText(
      "after",
      "\nLooks at Deno, the configuration, the limit of open files, ports, NATS (version, JetStream, login)" +
        "\nor data_dir, keys and their permissions, TLS, the clock, and at the bus that commands take here." +
        "\nIt changes nothing, and prints no key, token or password. Exit code 1 when something fails;" +
        "\na warning does not. Paths in the configuration begin in this folder, as for a server.\n" +
        examples(
          "arq doctor",
          "arq doctor --config /etc/arqon/shield.toml",
          `arq doctor --context prod --json | jq '.findings[] | select(.status != "ok")'`,
        ),
    )
    .action(run(calls(() => import("../../commands/cluster/doctor.ts"), "doctor")));
}
