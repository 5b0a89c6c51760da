/**
 * The one definition of `config.toml` (zod). Types, defaults, ranges, the JSON Schema for editors
 * and the table in docs/configuration.md all come from here. Loading and errors: `load.ts`.
 * Every table is strict: an unknown key stops the start.
 */
import { z } from "zod";
import { isDatabaseUrl, SLOT } from "./values/postgres.ts";
import {
  always,
  count,
  fraction,
  hostName,
  id,
  idOrAny,
  namedFile,
  port,
  roomPattern,
} from "./values/schema_values.ts";
import { decodeWitness } from "@arqon/proto";
import {
  Audit,
  Durable,
  Filters,
  Journal,
  LedgerTable,
  NatsStorage,
  Reducers,
  refuseUnknownReducers,
  Rooms,
  Streams,
} from "./schema_durable.ts";
import { refuseUnnamedOperators } from "./operators.ts";
import { HookTables } from "./automation/hooks.ts";
import { Centrifugo, Pusher } from "./automation/pusher.ts";
import { Auth } from "./schema_auth.ts";
import { Mirroring, SchemaRegistry } from "./schema_governance.ts";
import { Usage } from "./schema_usage.ts";
import { Quota } from "./schema_quota.ts";
import { Server, Sse } from "./schema_server.ts";
import type { WithConstants } from "./keys/constants.ts";

const MESSAGES_MAX = 10_000_000;
const BYTES_MAX = 10_737_418_240;
/**
 * The default rate limit: several times what one core can process. A bus with several tenants in one process needs a
 * lower one.
 */
const MESSAGES = 1_000_000;
const BYTES = 4_294_967_296;

/** `[limits]`. */
const LimitsTable = z.strictObject({
  memory_bytes: z.int().min(268_435_456).max(1_099_511_627_776).default(2_147_483_648).describe(
    "resident memory of the process; from 45 % the guard looks for clients with unfinished messages, and the process ends before the limit",
  ),
  max_frame_bytes: z.int().min(1_024).max(16_777_216).default(262_144).describe(
    "largest frame or HTTP body; above: 413, and a protocol error for a frame",
  ),
  // Every burst is two seconds' worth.
  messages_per_second: count(
    20_000,
    MESSAGES_MAX,
    "operations a second and connection; burst: twice that",
  ),
  bytes_per_second: count(
    33_554_432,
    BYTES_MAX,
    "bytes a second and connection; burst: twice that",
  ),
  user_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of a user, over all connections and HTTP requests; burst: twice that",
  ),
  tenant_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of a tenant in this process; burst: twice that",
  ),
  tenant_bytes_per_second: count(
    BYTES,
    BYTES_MAX,
    "bytes per second of a tenant in this process; burst: twice that",
  ),
  process_messages_per_second: count(
    MESSAGES,
    MESSAGES_MAX,
    "operations per second of this process, shared fairly by tenants; burst: twice that",
  ),
  handshakes_per_second: count(
    2_500,
    1_000_000,
    "upgrades admitted per second by this process; others get 503, each with its own Retry-After",
  ),
  strangers: count(
    1_024,
    100_000,
    "connections of this process without a token so far; one more ends the oldest: 503 admission, or a close if it sent no request",
  ),
  // Connection pools of Go and hyper keep a connection for 90 s: with a longer time here, a client that reuses one does
  // not race its end.
  keep_alive_ms: z.int().min(100).max(600_000).default(95_000).describe(
    "idle time of a connection between requests; longer than a load balancer or a client's pool keeps it",
  ),
  rooms_per_connection: count(
    1_024,
    1_000_000,
    "subscriptions of one connection, to rooms and patterns",
  ),
  connections_per_user: count(
    12_000,
    10_000_000,
    "open connections of one user (issuer and subject)",
  ),
  connections_per_tenant: count(
    16_000,
    10_000_000,
    "open connections of one tenant in this process",
  ),
  connections_per_process: count(
    18_000,
    10_000_000,
    "open connections of this process; keep below the file limit",
  ),
  unsent_bytes: z.int().min(65_536).max(1_073_741_824).default(4_194_304).describe(
    "bytes waiting for one connection; above: close 4429",
  ),
});

const Postgres = z.strictObject({
  tenant: id.describe("tenant to whose rooms transactions publish"),
  database: z.string().max(2_048).refine(isDatabaseUrl, {
    error: 'expected a URL such as "postgres://bridge@127.0.0.1:5432/app"',
  }).optional().describe("the database; with a password rather in database_file"),
  database_file: namedFile(
    "instead of database: a file with that URL and its password; read for each connection",
  ),
  slot: z.string().regex(SLOT, { error: "expected 1 to 63 of [a-z0-9_]" }).default("arqon")
    .describe("the replication slot; of several bridges with the same one, one is active"),
  mode: z.enum(["replication", "polling"]).default("replication").describe(
    "how it reads the log: by the replication protocol, or by SQL every poll_ms",
  ),
}).refine(
  ({ database, database_file }) => (database === undefined) !== (database_file === undefined),
  { error: "expected exactly one of database and database_file", ...always },
);

const Bridge = z.strictObject({
  postgres: Postgres.optional().describe(
    "`arq serve` publishes what a PostgreSQL commits; beside a separate Shield run `arq bridge postgres`",
  ),
});

const Growing = z.strictObject({});
type Growing = z.output<typeof Growing>;

const isWitnessUrl = (text: string) =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

const Proof = z.strictObject({
  records: z.array(z.enum(["audit", "journal", "usage"])).max(3).default([]).describe(
    "records that have a transparency log: audit of the bus, journal and usage of each tenant; rooms have one by proof of their class",
  ),
  origin: z.string().regex(/^[a-z0-9][a-z0-9./-]{0,127}$/, {
    error: 'expected a host and a path without a scheme, for example "bus.example.com/log"',
  }).default("arqonbus").describe(
    "begins the name of each log and of its key; choose one that no other bus has, and never change it",
  ),
  key_file: z.string().min(1).optional().describe(
    "file with an Ed25519 private key (PKCS #8 PEM) that signs every log; absent: a key for each tenant, made at first use and kept in the bus",
  ),
  witnesses: z.array(z.strictObject({
    url: z.string().max(2_048).refine(isWitnessUrl, { error: "expected an http or https URL" })
      .meta({ format: "uri" }).describe("its submission prefix, before /add-checkpoint"),
    vkey: z.string().max(512).refine((text) => decodeWitness(text) !== undefined, {
      error: "expected NAME+ID+KEY of an Ed25519 key, as arq proof witness prints it",
    }).describe("its verifier key"),
  })).max(16).default([]).describe(
    "witnesses (c2sp.org/tlog-witness) that are asked to cosign each checkpoint; one that does not answer within 2 s stops nothing",
  ),
  public_records: z.boolean().default(false).describe(
    "whether anybody may read checkpoints and tiles of the audit log, without a token; else operators may",
  ),
});
type Proof = z.output<typeof Proof>;

const Schedules = z.strictObject({});

const listener = (default_port: number, what: string) => ({
  host: z.string().min(1).default("127.0.0.1").describe(`address of the ${what} listener`),
  port: port(default_port),
  tls_cert: namedFile("file with the PEM certificate chain; with tls_key the listener speaks TLS"),
  tls_key: namedFile("file with the PEM private key"),
});

interface Pair {
  readonly tls_cert?: unknown;
  readonly tls_key?: unknown;
}

/** Refuses one of certificate and key without the other. */
function refuseHalfPair({ tls_cert, tls_key }: Pair, context: z.core.$RefinementCtx): void {
  if ((tls_cert === undefined) === (tls_key === undefined)) return;
  const [set, missing] = tls_key === undefined ? ["tls_cert", "tls_key"] : ["tls_key", "tls_cert"];
  const message = `${set} is set without ${missing}; expected both or neither`;
  context.addIssue({ code: "custom", path: [set], message });
}

const Ops = z.strictObject({
  ...listener(4001, "metrics and health"),
  token_file: namedFile(
    "file with a token, then required as Authorization: Bearer for /metrics and the details of /health/ready",
  ),
}).superRefine(refuseHalfPair, always);

const Admin = z.strictObject({
  ...listener(4002, "admin API"),
  allowed_hosts: z.array(hostName).default([]).describe(
    'more names of the admin API, besides localhost, addresses and `host`: those of a proxy, for example "admin.example.com"',
  ),
  operator_tenants: z.array(idOrAny).min(1).optional().describe(
    'tenants whose admins operate the whole bus; "*" is any; other admins act on their own tenant (docs/security.md); required if issuers may vouch for admins of several tenants',
  ),
  backup_days: z.int().min(1).max(36_500).optional().describe(
    "how many days you keep files of `arq backup`; a dry run of `arq user erase` says until when they have it",
  ),
}).superRefine(refuseHalfPair, always);

/** `[presence]`: who is in which room. */
const Presence = z.strictObject({
  grace: z.array(z.strictObject({
    room: roomPattern.describe("room id or prefix pattern"),
    grace_ms: count(5_000, 600_000, "how long a lost connection's member waits for its user"),
  })).default([]).describe(
    "grace period of a lost connection (not one that left) by room; the first match counts",
  ),
});

/** `[brain]`: the state of rooms. */
const Brain = z.strictObject({
  tap: z.union([z.boolean(), fraction]).default(0.01).describe(
    "fraction of messages that the Brain logs, log.lines_per_second at most; false is 0 (no tap at all), true is 1",
  ),
  room_bytes_per_tenant: z.int().min(1_048_576).max(1_099_511_627_776).default(67_108_864).describe(
    "bytes of one tenant's rooms in the storage of rooms; at most a quarter of it, if it is bounded",
  ),
  idle_timeout_ms: z.int().min(0).max(31_536_000_000).default(3_600_000).describe(
    "a room without members and commands for this long ends with its state; 0: never",
  ),
});

const isCollector = (text: string) =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).search === "";

/** `[telemetry]`; without `otlp_url` nothing is sent. */
const Telemetry = z.strictObject({
  otlp_url: z.string().refine(isCollector, {
    error: 'expected a URL such as "http://127.0.0.1:4318"',
  }).meta({ format: "uri" }).optional().describe(
    "base URL of an OpenTelemetry collector (OTLP over HTTP with Protobuf; /v1/traces and /v1/metrics are added); absent: nothing is sent",
  ),
  headers_file: namedFile(
    'file with headers of each export, one a line, for example "authorization: Bearer …"; read before each',
  ),
  traces: z.boolean().default(true).describe("send traces"),
  traces_ratio: fraction.default(0.01).describe(
    "share of traces that begin at this Shield; a client's traceparent decides for its own",
  ),
  metrics: z.boolean().default(true).describe("send the metrics of /metrics too"),
  tenant_series: z.int().min(0).max(10_000).default(50).describe(
    'tenants with their own series on /metrics, those with the most messages; others are tenant="_other"',
  ),
});

/** The ways to log in by a file; at most one of them may be given. */
const LOGIN_FILES = ["password_file", "token_file", "nkey_file", "credentials_file"] as const;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The login in the URLs: none, a user alone (which NATS takes for a token), or both. */
function loginInUrls(urls: unknown): { user: string; has_password: boolean } | undefined {
  for (const text of Array.isArray(urls) ? urls : []) {
    if (typeof text !== "string") continue;
    const plain = text.replace(/^(nats|tls):/, "http:");
    if (!URL.canParse(plain)) continue;
    const { username, password } = new URL(plain);
    if (username !== "") return { user: decoded(username), has_password: password !== "" };
  }
  return undefined;
}

type Given = Partial<Record<(typeof LOGIN_FILES)[number] | "user", unknown>> & { urls?: unknown };

/** Refuses an incomplete login, and two logins: it would be undefined which one is used. */
function refuseHalfOrTwo(given: Given, context: z.core.$RefinementCtx): void {
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  const [first, second] = LOGIN_FILES.filter((key) => given[key] !== undefined);
  if (first !== undefined && second !== undefined) {
    refuse(second, `expected one login: ${first} is set too`);
  }
  const in_urls = loginInUrls(given.urls);
  if (given.user !== undefined && given.password_file === undefined) {
    refuse("user", "expected password_file beside it");
  }
  if (first === undefined) {
    if (given.user !== undefined && in_urls !== undefined) {
      refuse("user", "expected one login: urls hold one too");
    }
    return;
  }
  if (in_urls?.has_password === true || (in_urls !== undefined && first !== "password_file")) {
    return refuse(first, "expected one login: urls hold one too");
  }
  if (first !== "password_file") return;
  if (given.user === undefined && in_urls === undefined) {
    refuse(first, "expected user beside it, in a key or in urls");
  } else if (given.user !== undefined && in_urls !== undefined && in_urls.user !== given.user) {
    refuse("user", "expected one user: urls hold another");
  }
}

/** `[nats]`; without this table the embedded Spine runs. */
const Nats = z.strictObject({
  urls: z.array(
    z.string().regex(/^(nats|tls):\/\/[^\s]+$/, {
      error: 'expected a URL such as "nats://127.0.0.1:4222"',
    }),
  ).min(1).describe("servers to connect to; without this table the embedded Spine runs"),
  user: z.string().min(1).optional().describe(
    "the user of password_file; urls may have it instead",
  ),
  password_file: namedFile("file with the password of user"),
  token_file: namedFile("file with a token, instead of user and password"),
  nkey_file: namedFile("file with the seed of a user's nkey (SU…), instead of a password"),
  credentials_file: namedFile("NATS .creds file, with a JWT and its seed"),
  tls_ca_file: namedFile("PEM of the authority that signed the server's certificate"),
  tls_cert_file: namedFile("PEM certificate chain that this process shows the server"),
  tls_key_file: namedFile("PEM private key of tls_cert_file"),
  request_timeout_ms: count(
    2_000,
    600_000,
    "timeout of flushes and key-value operations; while a process starts: 30 s",
  ),
  api: z.boolean().default(false).describe(
    "answer backends that ask by NATS on api.t.{tenant}.r.{room}.publish, .history and .command",
  ),
  ...NatsStorage,
}).superRefine(refuseHalfOrTwo, always)
  .refine((nats) => nats.tls_cert_file === undefined || nats.tls_key_file !== undefined, {
    error: "tls_cert_file is set without tls_key_file; expected both or neither",
    path: ["tls_cert_file"],
    ...always,
  }).refine((nats) => nats.tls_key_file === undefined || nats.tls_cert_file !== undefined, {
    error: "tls_key_file is set without tls_cert_file; expected both or neither",
    path: ["tls_key_file"],
    ...always,
  });

const PolicyLimits = z.strictObject({
  timeout_ms: count(5, 60_000, "a verdict later than this is counted as late"),
  stall_ms: count(
    250,
    60_000,
    "a message without a verdict in this time is refused; stalls of the process do not count",
  ),
  fail_closed: z.literal(true, {
    error: "expected true: a message whose policy cannot decide is always refused",
  }).default(true).describe("failures refuse the message; false is a start error"),
  workers: z.int().min(1).max(256).optional().describe(
    "threads that run policies; absent: one less than the cores, at least one",
  ),
  isolation: z.enum(["shared", "tenant"]).default("shared").describe(
    'whether tenants share the threads or each has its own; with "tenant" at most 64 are busy at a time',
  ),
  fuel_per_second: count(
    1_000_000,
    1_000_000_000_000,
    "policies' fuel per second and tenant; burst: twice that; 1,000,000 is at most half a core; reducers have twice as much",
  ),
  inline_modules: z.array(
    z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" }),
  ).max(1_024).default([]).describe(
    "SHA-256 of modules allowed on the Shield's own thread; a chain runs there if all of its modules are; absent: all chains run in workers",
  ),
});

const Platform = z.strictObject({
  overseer: z.strictObject({
    enabled: z.boolean().default(true).describe("run WebAssembly policies"),
    fuel_limit: count(10_000, 1_000_000, "fuel per call; 10,000 is at most about 5 ms of any code"),
    memory_limit_pages: count(
      64,
      65_536,
      "memory of an instance, or of a reducer, in 64 KiB pages",
    ),
  }).prefault({}).describe("WebAssembly policies"),
  mirroring: Mirroring.prefault({}).describe("copies of traffic"),
  registry: SchemaRegistry.prefault({}).describe("Protobuf schemas of events"),
});

const Level = z.enum(["debug", "info", "warn", "error"]);

const Log = z.strictObject({
  level: Level.default("info").describe("least severe level that is written"),
  format: z.enum(["logfmt", "json"]).default("logfmt").describe("form of a line"),
});

/** `[watchdog]`, whose value is a constant. */
const Watchdog = z.strictObject({});

/** Refuses conflicts between tables. */
function refuseWhole(
  config:
    & Parameters<typeof refuseUnnamedOperators>[0]
    & Parameters<typeof refuseUnknownReducers>[0],
  context: z.core.$RefinementCtx,
): void {
  refuseUnnamedOperators(config, context);
  refuseUnknownReducers(config, context);
}

/** The whole file. */
export const ConfigSchema = z.strictObject({
  server: Server.prefault({}).describe("the client listener"),
  ops: Ops.prefault({}).describe("/metrics and /health/*; a Brain's default port is 4101"),
  admin: Admin.prefault({}).describe("admin API; a Brain's default port is 4102"),
  audit: Audit.prefault({}).describe("who did what on the admin API"),
  nats: Nats.optional().describe("NATS as the Spine"),
  auth: Auth.prefault({}).describe("tokens and signatures"),
  limits: LimitsTable.prefault({}).describe("every limit"),
  quota: Quota.optional().describe("quotas of tenants on all Shields together"),
  policy: PolicyLimits.prefault({}).describe("how policies run"),
  platform: Platform.prefault({}).describe("parts that can be switched off"),
  presence: Presence.prefault({}).describe(
    "who is in which room; the same values on every Shield and Brain",
  ),
  brain: Brain.prefault({}).describe("the Brain"),
  rooms: Rooms.describe("classes of rooms"),
  reducers: Reducers.describe("programs of rooms"),
  durable: Durable.prefault({}).describe("durable rooms"),
  filters: Filters.prefault({}).describe("filters of subscribers"),
  ledger: LedgerTable.prefault({}).describe("what was delivered to whom, for `arq why`"),
  ...HookTables,
  journal: Journal.prefault({}).describe("the journal of decisions"),
  streams: Streams.prefault({}).describe("durable rooms as streams over HTTP"),
  usage: Usage.prefault({}).describe("the ledger of use"),
  pusher: Pusher.prefault({}).describe("clients and backends of the Pusher protocol"),
  centrifugo: Centrifugo.prefault({}).describe("Centrifugo's client libraries"),
  proof: Proof.prefault({}).describe("transparency logs of records"),
  schedules: Schedules.prefault({}).describe("messages that are published at a time"),
  bridge: Bridge.prefault({}).describe("what databases commit, published"),
  growing: Growing.prefault({}).describe("messages that grow before they are stored"),
  sse: Sse.prefault({}).describe("server-sent events"),
  log: Log.prefault({}).describe("logging"),
  watchdog: Watchdog.prefault({}).describe("the end of a process that hangs"),
  telemetry: Telemetry.prefault({}).describe("OpenTelemetry"),
}).superRefine(refuseWhole);

/** A checked configuration with every default filled in, and the constants of each table. */
export type Config = WithConstants<z.output<typeof ConfigSchema>>;
/** `[limits]` of a configuration; each name ends with its unit. */
export type Limits = Config["limits"];
