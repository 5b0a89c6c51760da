/** The commands that show the bus's activity, and `arq doctor`, which checks its environment. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, group } from "./define.ts";
import { INVOICE } from "./proof.ts";
import { usageError } from "../../terminal/exit.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { asks, from } from "./asks.ts";
import { BUS, calls, count, httpUrl, id, offset, OPS_TOKEN, positive } from "./options.ts";
import { room, span, tenant } from "./options.ts";

// A command is loaded when it runs.
const doctor = () => import("../../commands/cluster/doctor.ts");
const status = () => import("../../commands/cluster/status.ts");
const top = () => import("../../commands/cluster/top.ts");
const tail = () => import("../../commands/cluster/tail.ts");
const usageText = () => import("../../answers/usage_text.ts");
const why = () => import("../../commands/cluster/why.ts");

const seconds = positive("a number of seconds up to 3600", false, 3_600);

function traceId(text: string): string {
  const trace_id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(text)?.[1] ?? text;
  if (/^[0-9a-f]{32}$/.test(trace_id) && /[^0]/.test(trace_id)) return trace_id;
  throw new InvalidArgumentError("Expected 32 hex digits in lower case, or a traceparent.");
}

/** `arq doctor` */
export const DOCTOR: readonly Definition[] = [
  command`doctor: check everything that a bus on this machine needs, and print how to correct it ${BUS} ${OPS_TOKEN}
    --config <file>  the configuration to check (default: config.toml, if it exists)
    --json  print the findings as JSON

    It checks Deno, the configuration, the limit of open files, ports, NATS (version, JetStream,
    login) or data_dir, keys and their permissions, TLS, the clock, and the bus that commands use
    here. It changes nothing, and prints no key, token or password. Exit code 1 if a check fails;
    warnings do not count. Paths in the configuration start at this folder, as for a server.
    $ arq doctor
    $ arq doctor --config /etc/arqon/shield.toml
    $ arq doctor --context prod --json | jq '.findings[] | select(.status != "ok")'`(
    calls(doctor, "doctor"),
  ),
];

/** `arq status`, `arq top`, `arq tail` and `arq usage`. */
export const OBSERVE: readonly Definition[] = [
  command`status: show whether the bus is ready, and its activity ${BUS} ${OPS_TOKEN}
    --watch [seconds]  repeat (every 2 seconds), until Ctrl-C ${seconds}
    --path  print the order of the checks that can refuse a message, of this release
    --json  print it as JSON; with --watch, an object a line

    Readiness comes from the ops listener, the cluster's nodes and the figures from the admin API
    (token of role admin). Exit code 1 when the bus, or a node of the cluster, is not ready.
    $ arq status
    $ arq status --watch
    $ arq status --ops-url http://10.0.0.7:4001 --json`(calls(status, "status")),
  command`top: show the activity of the cluster: nodes, busiest tenants, rooms and policies ${BUS}
    --interval <seconds>  time between two views ${seconds} ${{ is: 2 }}
    --rows <n>  rows of each list ${positive("a whole number to 1000", true, 1_000)} ${{ is: 10 }}
    --count <n>  end after n views ${count}
    --json  print one JSON object a view

    Needs a token of role admin. Rates are between two views; on a terminal a view replaces the
    previous one, in a pipe it follows it.
    $ arq top
    $ arq top --interval 5 --rows 20
    $ arq top --count 1 --json`(calls(top, "top")),
  command`tail: print the messages of a room live, for an operator ${BUS}
    <room>  the room ${room}
    --tenant <id>  tenant of the room ${tenant} ${{ is: DEV_TENANT }}
    --count <n>  end after n messages ${count}
    --json  print one JSON object a line

    Needs a token of role admin and joins no room; arq sub shows what a user of the room receives.
    A slow reader misses messages; stderr reports that.
    $ arq tail lobby
    $ arq tail orders --tenant acme --json | jq .type`(calls(tail, "tail")),
  group`usage: show a tenant's usage, and check it by its log`,
  command`usage [show]: show a tenant's usage: messages, deliveries, connections, fuel, storage, cost ${BUS}
    --tenant <id>  tenant; that of the token if absent ${tenant}
    --by <list>  grouped by some of room, user, policy, node, minute, hour, day
    --since <time>  only minutes of the last 30d, 1h or seconds ${span} ${{ is: 86_400 }}
    --csv  print the rows as CSV with every unit
    --json  print the answer as JSON

    Needs a token of role admin, and a bus with [usage] enabled; an admin of one tenant sees only
    that tenant. user is the class of users by [usage] user_claim. cost is by [usage.prices]. It
    names killed Shields, with the time of their missing last counts.
    $ arq usage --by room,policy,user --since 30d
    $ arq usage show --tenant acme --by day --since 30d --csv > acme.csv
    $ arq usage --json | jq .total.cost`(asks({
    route: "GET /v1/usage?since_ms,tenant,by",
    given(given) {
      if (given["csv"] !== true || given["json"] !== true) return given;
      throw usageError("give one of --csv and --json");
    },
    times: async ({ since }, ago) => ({ since_ms: await ago(since) }),
    text: from(usageText, "usageText"),
  })),
  INVOICE,
];

/** `arq trace` and `arq why`: the outcome of a message. */
export const WHY: readonly Definition[] = [
  command`trace: print the spans of one trace as a tree, from Jaeger
    <id>  trace id, as in messages, logs and traceparent ${traceId}
    --jaeger-url <url>  Jaeger's query service, for example http://127.0.0.1:16686 ${httpUrl}
    --json  print the spans as JSON

    The bus sends spans to [telemetry] otlp_url and stores none; Jaeger must get them from there.
    Exit code 1 if Jaeger has no such trace.
    $ arq trace 0af7651916cd43dd8448eb211c80319c --jaeger-url http://127.0.0.1:16686
    $ arq trace 0af7651916cd43dd8448eb211c80319c --jaeger-url http://127.0.0.1:16686 --json`(
    calls(why, "trace"),
  ),
  command`why: explain why a user did not receive a message, or which messages they received ${BUS}
    --message-id <id>  messages with this message_id
    --trace <id>  messages with this trace id
    --twist <id>  the message with this X-Twist-ID
    --room <room>  the room of the message, or of --offset and --since ${room}
    --offset <n>  the message with this offset in --room ${offset}
    --user <id>  its outcome for each connection of this user
    --connection <id>  its outcome for this connection ${id("connection")}
    --address <ip>  refusals from this address; for operators of the bus
    --since <time>  all messages of --room in the last 10m, 1h or seconds ${span}
    --tenant <id>  tenant; that of the token if absent ${tenant}
    --json  print the answer as JSON

    The outcome comes first, then the journal's decision: schema, policies, and the reason of a
    refusal. Needs a token of role admin; an admin of one tenant sees only that tenant. Exit code 1
    if neither has the message; the last lines show how far back the Shields' ledgers go.
    $ arq why --message-id order-4711 --user bob
    $ arq why --room orders --offset 17 --connection c3K9
    $ arq why --user bob --room orders --since 10m
    $ arq why --user bob --json | jq .refusals`(calls(why, "why")),
];
