/**
 * The nodes that scenarios run on: `main` with wide limits and `strict` with tiny ones, each a bus of
 * its own on the embedded Spine, and two Shields, `a` and `b`, with a Brain on one NATS. It starts them
 * and says what they count; it knows no scenario.
 */
import { startBusWith } from "../harness/bus.ts";
import type { TestBus } from "../harness/bus.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { errorsIn, samplesOf } from "../harness/server_state.ts";
import { startNats } from "../harness/nats_server.ts";

/** What a token says. */
export interface Claims {
  readonly user: string;
  readonly tenant?: string;
  readonly role?: "user" | "service" | "admin";
  readonly grants?: readonly { room: string; actions: readonly string[] }[];
  /** Default: an hour. */
  readonly ttl_seconds?: number;
}

/** One Shield, with whatever is behind it. */
export interface Node {
  readonly name: string;
  readonly hostname: string;
  /** Of clients. */
  readonly port: number;
  tokenFor(claims: Claims): Promise<string>;
  /** A metric with its labels, 0 when there is none. */
  metric(name: string): Promise<number>;
  /** Files and sockets that its process has open; undefined where that cannot be told. */
  files(): Promise<number | undefined>;
  /** Errors that it logged; warnings are for scenarios that show what is refused. */
  bugs(): readonly string[];
}

/** All nodes of a run. */
export interface Nodes extends AsyncDisposable {
  readonly main: Node;
  readonly strict: Node;
  readonly a: Node;
  readonly b: Node;
}

/** Of everybody who names no other. */
export const TENANT = "acme";

const ROOMS = `
[[rooms]]
room = "log-*"
durable = true
history_size = 30_000
[[rooms]]
room = "short-*"
durable = true
history_size = 5
[[rooms]]
room = "cache-*"
durable = true
cache_last = true
history_size = 100
`;
const WIDE = `
${ROOMS}
[limits]
max_frame_bytes = 4_194_304
rooms_per_connection = 8_192
pending_operations = 16_384
pending_bytes = 67_108_864
unsent_bytes = 134_217_728
messages_per_second = 10_000_000
bytes_per_second = 1_000_000_000
history_messages = 5_000
recovery_messages = 50_000
[brain]
keys_per_room = 20_000
`;
/** Whoever does not read must not fill the system's buffers for long. */
const STRICT = `
[server]
host = "127.0.0.1"
heartbeat_ms = 1_000
[auth]
clock_skew_seconds = 0
${ROOMS}
[limits]
max_frame_bytes = 4_096
close_frame_bytes = 65_536
unsent_bytes = 65_536
rooms_per_connection = 8
protocol_errors = 3
`;
const EMBEDDED = `
[server]
host = "127.0.0.1"
`;
function grantsOf({ grants }: Claims): { grants?: Claims["grants"] } {
  return grants === undefined ? {} : { grants };
}

function busNode(name: string, bus: TestBus): Node {
  const { hostname, port } = new URL(bus.url);
  return {
    name,
    hostname,
    port: Number(port),
    tokenFor: (claims) => {
      const { user, tenant = TENANT, role = "user", ttl_seconds = 3_600 } = claims;
      return bus.tokenFor({ user, tenant, role, ttl_seconds, claims: grantsOf(claims) });
    },
    metric: async (metric) => (await samplesOf(bus.ops_url)).get(metric) ?? 0,
    files: () => Promise.resolve(undefined),
    bugs: () => errorsIn(bus.log()),
  };
}

async function openFiles(pid: number): Promise<number | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const args = ["-c", `ls /proc/${pid}/fd | wc -l`];
  const { stdout } = await new Deno.Command("sh", { args }).output();
  return Number(new TextDecoder().decode(stdout));
}

function shieldNode(name: string, issuer: Issuer, { ready, log, pid }: ServerProcess): Node {
  const { hostname, port } = new URL(ready["url"] ?? "");
  return {
    name,
    hostname,
    port: Number(port),
    tokenFor: (claims) => {
      const { user, tenant = TENANT, role = "user", ttl_seconds = 3_600 } = claims;
      const exp = Math.floor(Date.now() / 1_000) + ttl_seconds;
      return issuer.tokenFor({ sub: user, tenant_id: tenant, role, exp, ...grantsOf(claims) });
    },
    metric: async (metric) => (await samplesOf(ready["ops_url"])).get(metric) ?? 0,
    files: () => openFiles(pid),
    bugs: () => errorsIn(log()),
  };
}

/** Starts all of them. Rejects with a log when one does not come up. */
export async function startNodes(): Promise<Nodes> {
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const nats = owned.use(await startNats({ jetstream: true, config: "max_payload: 4194304" }));
  const config = `[nats]\nurls = ["${nats.url}"]\n${WIDE}`;
  const [main, strict, , a, b] = await Promise.all([
    startBusWith(EMBEDDED + WIDE),
    startBusWith(STRICT),
    startServer("brain", config, issuer.dir).then((brain) => owned.use(brain)),
    startServer("shield", config + issuer.config, issuer.dir, `node_id = "a"`),
    startServer("shield", config + issuer.config, issuer.dir, `node_id = "b"`),
  ]);
  for (const process of [main, strict, a, b]) owned.use(process);
  const stack = owned.move();
  return {
    main: busNode("main", main),
    strict: busNode("strict", strict),
    a: shieldNode("a", issuer, a),
    b: shieldNode("b", issuer, b),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
