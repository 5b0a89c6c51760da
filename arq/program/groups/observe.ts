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

/** Reads a trace id, or the trace id of a traceparent. */
function traceId(text: string): string {
  const trace_id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(text)?.[1] ?? text;
  if (/^[0-9a-f]{32}$/.test(trace_id) && /[^0]/.test(trace_id)) return trace_id;
  throw new InvalidArgumentError("Expected 32 hex digits in lower case, or a traceparent.");
}

/** `arq doctor` */
export const DOCTOR: readonly Definition[] = [
  command`doctor: check everything that a bus on this machine needs, and print how to correct it ${BUS} ${OPS_TOKEN}
    --config <file>  the configuration to look at (default: config.toml, if it is here)
    --json  print the findings as JSON

    Looks at Deno, the configuration, the limit of open files, ports, NATS (version, JetStream, login)
    or data_dir, keys and their permissions, TLS, the clock, and at the bus that commands take here.
    It changes nothing, and prints no key, token or password. Exit code 1 when something fails;
    a warning does not. Paths in the configuration begin in this folder, as for a server.
    $ arq doctor
    $ arq doctor --config /etc/arqon/shield.toml
    $ arq doctor --context prod --json | jq '.findings[] | select(.status != "ok")'`(
    calls(doctor, "doctor"),
  ),
];

/** `arq status`, `arq top`, `arq tail` and `arq usage`. */
export const OBSERVE: readonly Definition[] = [
  command`status: is the bus ready, and what does it do? ${BUS} ${OPS_TOKEN}
    --watch [seconds]  again and again (every 2 seconds), until Ctrl-C ${seconds}
    --path  the order in which a message can be refused, of this release
    --json  print it as JSON; with --watch, an object a line

    Readiness comes from the ops listener, the cluster's nodes and the figures from the admin API
    (token of role admin). Exit code 1 when the bus, or a node of the cluster, is not ready.
    $ arq status
    $ arq status --watch
    $ arq status --ops-url http://10.0.0.7:4001 --json`(calls(status, "status")),
  command`top: what the cluster does: nodes, busiest tenants, rooms and policies ${BUS}
    --interval <seconds>  time between two views ${seconds} ${{ is: 2 }}
    --rows <n>  rows of each list ${positive("a whole number to 1000", true, 1_000)} ${{ is: 10 }}
    --count <n>  end after n views ${count}
    --json  print one JSON object a view

    Needs a token of role admin. Rates are between two views; on a terminal a view replaces the
    one before, in a pipe it follows it.
    $ arq top
    $ arq top --interval 5 --rows 20
    $ arq top --count 1 --json`(calls(top, "top")),
  command`tail: the messages of a room as they arrive, for an operator ${BUS}
    <room>  the room ${room}
    --tenant <id>  tenant of the room ${tenant} ${{ is: DEV_TENANT }}
    --count <n>  end after n messages ${count}
    --json  print one JSON object a line

    Needs a token of role admin and joins nothing; arq sub shows what a user of the room gets.
    Who reads too slowly misses messages, and is told so on stderr.
    $ arq tail lobby
    $ arq tail orders --tenant acme --json | jq .type`(calls(tail, "tail")),
  group`usage: what a tenant has used: show it, and check it by its log`,
  command`usage [show]: what a tenant has used: messages, deliveries, connections, fuel, storage, cost ${BUS}
    --tenant <id>  tenant; that of the token if absent ${tenant}
    --by <list>  told apart by some of room, user, policy, node, minute, hour, day
    --since <time>  of the minutes so long ago at most: 30d, 1h or seconds ${span} ${{ is: 86_400 }}
    --csv  print the rows as CSV with every unit
    --json  print the answer as JSON

    Needs a token of role admin, and a bus with [usage] enabled; an admin of one tenant asks about
    its own. user is the class of users by [usage] user_claim. cost is by [usage.prices]. Shields
    that were killed are named, with the time of which their last counts are missing.
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
  command`trace: the spans of one trace as a tree, from Jaeger
    <id>  trace id, as in messages, logs and traceparent ${traceId}
    --jaeger-url <url>  Jaeger's query service, for example http://127.0.0.1:16686 ${httpUrl}
    --json  print the spans as JSON

    The bus sends spans to [telemetry] otlp_url and keeps none; Jaeger must get them from there.
    Exit code 1 when Jaeger has no such trace.
    $ arq trace 0af7651916cd43dd8448eb211c80319c --jaeger-url http://127.0.0.1:16686
    $ arq trace 0af7651916cd43dd8448eb211c80319c --jaeger-url http://127.0.0.1:16686 --json`(
    calls(why, "trace"),
  ),
  command`why: why a user did not get a message, or what they got ${BUS}
    --message-id <id>  messages with this message_id
    --trace <id>  messages with this trace id
    --twist <id>  the message with this X-Twist-ID
    --room <room>  the room of the message, or of --offset and --since ${room}
    --offset <n>  the message with this offset in --room ${offset}
    --user <id>  its outcome for each connection of this user
    --connection <id>  its outcome for this connection ${id("connection")}
    --address <ip>  what was refused from this address; for operators of the bus
    --since <time>  all messages of --room so long ago at most: 10m, 1h or seconds ${span}
    --tenant <id>  tenant; that of the token if absent ${tenant}
    --json  print the answer as JSON

    The outcome comes first, then what the journal says: schema, policies, and why it was refused.
    Needs a token of role admin; an admin of one tenant asks about its own. Exit code 1 when
    neither knows of it; the last lines say how far back the Shields' ledgers go.
    $ arq why --message-id order-4711 --user bob
    $ arq why --room orders --offset 17 --connection c3K9
    $ arq why --user bob --room orders --since 10m
    $ arq why --user bob --json | jq .refusals`(calls(why, "why")),
];
