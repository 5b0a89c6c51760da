/**
 * Former keys of `config.toml` that nobody needs to set: each is a constant, with its reason. A checked configuration
 * has their values beside its keys, a file that sets one is refused with an error that shows the value, and tests set
 * other values through `configFrom`.
 */

/** A value that a configuration file cannot change. */
export interface Constant<V> {
  readonly value: V;
  /** What it bounds, and why nobody needs another value. */
  readonly why: string;
}

const fixed = <V>(value: V, why: string): Constant<V> => ({ value, why });

/** A share of a key: setting that key changes this constant, too. */
interface Share {
  /** The value as documentation shows it; a number once a test has set it. */
  readonly value: number | string;
  readonly share: number;
  /** The key: a name in the same table, or a full name. */
  readonly of: string;
  readonly why: string;
}

const part = (share: number, of: string, why: string): Share => {
  return { value: `${share} × ${of}`, share, of, why };
};

/** By default 256 MiB of a process's memory, and 16 MiB of the log of a room with a reducer. */
const EIGHTH = 0.125;

const ADMISSION = {
  handshake_burst: part(0.4, "limits.handshakes_per_second", "upgrades at once after a quiet time"),
  strangers_per_address: part(0.75, "strangers", "strangers of one address, or one /64 of IPv6"),
  concurrent_handshakes: fixed(512, "unanswered upgrades; handshakes_per_second is the bound"),
  concurrent_verifications: fixed(32, "signatures verified in parallel, more than cores"),
  waiting_verifications: fixed(2_048, "tokens that wait; a second of handshakes"),
  request_head_ms: fixed(10_000, "timeout of a TLS handshake and of a head; both are small"),
  request_body_ms: fixed(30_000, "timeout of a body: the largest one over 100 kbit/s"),
  answer_ms: fixed(10_000, "timeout for reading an answer; slower peers hold others up"),
  deflate_from_bytes: fixed(512, "shorter messages cost more time than compression saves"),
};

const LOGS = {
  log_pending_messages: fixed(65_536, "publishes that wait for the log, of 1 KiB each"),
  log_pending_bytes: fixed(67_108_864, "the same in bytes; as much as NATS may have unflushed"),
  recovery_bytes: fixed(16_777_216, "bytes that one SUB recovers at a time, all in memory"),
  spine_subscription_messages: fixed(65_536, "messages of one embedded subscription before a GAP"),
  spine_subscription_bytes: fixed(67_108_864, "the same in bytes"),
  spine_pending_bytes: fixed(268_435_456, "the same for all; an eighth of the memory"),
  backup_waiting_bytes: fixed(1_073_741_824, "written aside during a backup; beyond: aborted"),
};

const LIMITS = {
  admin_requests_per_second: fixed(
    200,
    "requests of one caller to the admin API; burst: twice that; no person and no console asks so often",
  ),
  admin_changes_per_second: fixed(
    20,
    "changes, and reads of users' data, which the audit log records; burst: ten times that",
  ),
  token_bytes: fixed(8_192, "bytes of a token: what proxies take as one header"),
  user_bytes_per_second: fixed(
    4_294_967_296,
    "bytes of a user here; user_messages_per_second is the bound",
  ),
  process_bytes_per_second: fixed(
    4_294_967_296,
    "bytes of this process; process_messages_per_second is the bound",
  ),
  pending_operations: fixed(
    1_024,
    "operations of one connection in its queue or without ACK; HTTP requests of one user in flight",
  ),
  pending_bytes: fixed(4_194_304, "queued operations of one connection, 4 KiB for each"),
  headers: fixed(64, "headers of one envelope; header_bytes bounds them, too"),
  log_cache_bytes: part(
    EIGHTH,
    "limits.memory_bytes",
    "the newest messages of open durable rooms that a Shield has in memory",
  ),
  token_cache_bytes: fixed(33_554_432, "cache of verified tokens, for reconnects"),
  rate_refusals: fixed(10_000, "refusals without a pause before 4429; no client needs them"),
  recovery_messages: fixed(10_000, "missed messages that one SUB recovers; history has more"),
  command_timeout_ms: fixed(5_000, "wait of a command for the Brain; clients can try again"),
  patterns_per_tenant: fixed(10_000, "subscriptions to patterns; a tenth of their rooms"),
  reducer_modules: fixed(200, "stored modules of one room class; unused ones are removed"),
  history_messages: fixed(1_000, "messages of one history.get; clients read page by page"),
  protocol_errors: fixed(64, "undecodable frames before close 1008; clients send none"),
  close_frame_bytes: fixed(33_554_432, "a larger frame ends the connection with 4413"),
  descriptors_reserved: fixed(256, "open files that clients leave to others; at most half"),
  listener_gone_ms: fixed(30_000, "a port lost for this long ends the process"),
  listener_probe_ms: fixed(2_000, "interval and timeout of probes of the own client port"),
  batch_messages: fixed(1_000, "messages of one POST /v1/messages; send two for more"),
  batch_bytes: fixed(1_048_576, "the same in bytes, in memory at once"),
  memory_ban_seconds: fixed(300, "ban of a user who filled the memory"),
  deduplication_entries: fixed(65_536, "message ids of a tenant remembered for two minutes"),
  pattern_rooms_per_tenant: fixed(100_000, "rooms that a tenant's patterns cover"),
  pattern_positions: fixed(1_000, "positions of one SUB of a pattern, which is one frame"),
  ...ADMISSION,
  ...LOGS,
  header_bytes: fixed(16_384, "names and values of all headers; more belongs into data"),
  field_bytes: fixed(
    256,
    "message_id, type, content_type, schema_id and names of commands are names",
  ),
  admin_checks: fixed(16, "waiting checks of a tenant's modules and schemas"),
  slow_reader_bytes: fixed(
    262_144,
    "unsent bytes of one room for a slow reader that keeps the newest",
  ),
  member_meta_bytes: fixed(4_096, "metadata of a member; more is state of the room"),
  delta_message_bytes: fixed(65_536, "larger data goes whole: a hard diff takes 2 ms a KiB"),
  delta_bases_per_room: fixed(64, "keys with a base for deltas; beyond: whole messages"),
  delta_bytes: fixed(67_108_864, "bases of all rooms; beyond: whole messages"),
  delta_bytes_per_connection: fixed(16_777_216, "what one client keeps: the SDKs' default"),
  bans: fixed(1_000_000, "bans of all tenants; ten times brain.bans_per_tenant"),
  revocations: fixed(100_000, "revocations of all tenants; each ends with its tokens"),
};

const POLICY = {
  payload_bytes: part(
    1,
    "limits.max_frame_bytes",
    "largest payload for policies: whatever fits into a frame",
  ),
  inline_fuel: fixed(
    1_000,
    "of a chain of inline_modules: half a millisecond of the Shield's thread",
  ),
  chain_fuel_limit: part(
    2,
    "platform.overseer.fuel_limit",
    "fuel of all policies of one operation",
  ),
  start_wait_ms: fixed(10_000, "a start waits for modules that were compiled before"),
  queue_messages: fixed(1_024, "messages of one tenant that wait for one thread"),
  breaker_failures: fixed(5, "failures in a row, by several senders, are no accident"),
  breaker_seconds: fixed(10, "time for which a module is cut off; then one message tries it"),
  connection_window: fixed(16, "messages of one connection in policies at a time"),
  wedge_ms: fixed(1_000, "a worker without progress ends; the most fuel takes half a second"),
  unused_module_seconds: fixed(86_400, "a deployment follows its upload within a day"),
  compiled_seconds: fixed(600, "a deployment follows its check within minutes"),
  instances: fixed(4_096, "instances of modules; the runtime has no room for more memories"),
  state_tenant_entries: fixed(65_536, "values of one tenant, of 128 bytes each"),
  state_tenant_bytes: fixed(16_777_216, "an eighth of state_bytes, so that others have room"),
  state_entries: fixed(524_288, "values of all tenants; eight times those of one"),
  state_bytes: fixed(134_217_728, "a sixteenth of the default memory_bytes"),
  log_lines: fixed(256, "lines of a tenant for `arq policy logs`, which is for the last ones"),
};

const MIRRORING = {
  buffer_messages: fixed(8_192, "copies that wait; a slow mirror loses copies, never messages"),
  buffer_bytes: fixed(16_777_216, "the same in bytes"),
  remembered_messages: fixed(16_384, "messages whose shadow verdicts are still compared"),
  candidates: fixed(1_000, "candidates of all tenants; more than anybody compares at a time"),
};

const REGISTRY = {
  compiled_bytes: part(
    EIGHTH,
    "limits.memory_bytes",
    "estimated memory of compiled schemas; beyond: the least recently used are evicted",
  ),
  schemas: part(
    5e-7,
    "limits.memory_bytes",
    "mapped schemas of a Shield: an eighth of its memory at 256 KiB each; events of others get 503",
  ),
  message_parts: fixed(5_000, "parts of one message; a thousand block others for 20 ms"),
  restore_ms: fixed(200, "time of each second for evicted schemas; messages have the rest"),
  tenant_mappings: fixed(100_000, "mappings of all tenants, on every Shield"),
  versions: fixed(1_000, "stored versions of a schema"),
  dead_letter_bytes: fixed(4_194_304, "copies on their way to dlq subjects"),
};

const PRESENCE = {
  members_per_room: fixed(100_000, "members of one room; max_members of its class may be less"),
  heartbeat_ms: fixed(1_500, "heartbeats of Shields and Brains, the same in each process"),
  down_ms: fixed(30_000, "a silent Shield's members leave after twenty heartbeats"),
  brain_timeout_ms: fixed(5_000, "a silent Brain owns no rooms after three heartbeats"),
  move_grace_ms: fixed(10_000, "time for clients of a stopped Shield to be back elsewhere"),
  forget_ms: fixed(1_200_000, "a Shield silent for this long announces all members again"),
  page_members: fixed(1_000, "members in one page of a list; clients read page by page"),
  announce_ms: fixed(50, "joins and leaves within this time are sent together"),
  sync_timeout_ms: fixed(3_000, "wait of a SUB for members; a Brain answers in milliseconds"),
  members_per_shield: fixed(200_000, "ten times a Shield's default connections"),
  members_per_brain: fixed(2_000_000, "members of the cluster: those of ten Shields"),
};

const BRAIN = {
  state_bytes: fixed(
    262_144,
    "a room's state document, which is read and written as a whole: one frame",
  ),
  rooms_per_tenant: part(
    0.0015,
    "room_bytes_per_tenant",
    "rooms of one tenant, of about 670 bytes each; room_bytes_per_tenant is the bound",
  ),
  reducer_fuel_per_second: part(
    2,
    "policy.fuel_per_second",
    "reducers' fuel of one tenant on a Brain, with timers; burst: twice that; by default a core",
  ),
  rooms_in_memory: part(
    5e-7,
    "limits.memory_bytes",
    "rooms whose document a Brain keeps in memory: an eighth of it at 256 KiB each",
  ),
  reducer_bytes: part(
    EIGHTH,
    "limits.memory_bytes",
    "states of rooms with reducers; beyond: the least recently used is stored and evicted",
  ),
  reducer_unused_ms: fixed(3_600_000, "a stored reducer unused for this long is removed"),
  reducer_rooms: fixed(1_000, "rooms with reducers in memory; reducer_bytes bounds it"),
  command_id_ttl_ms: fixed(600_000, "life of a command_id; clients give up long before"),
  lock_ttl_max_ms: fixed(600_000, "longest lease of a lock; longer ones are renewed"),
  lock_ttl_ms: fixed(30_000, "lease of a lock that asks for none; who needs another asks for it"),
  bans_per_tenant: fixed(100_000, "bans of one tenant; limits.bans are ten times that"),
  pending_commands: fixed(1_024, "waiting commands of one room: those of one connection"),
  pending_bytes: fixed(268_435_456, "waiting commands of a Brain; an eighth of its memory"),
  command_ids_per_room: fixed(8_192, "13 commands a second for command_id_ttl_ms"),
  keys_per_room: fixed(10_000, "keys of a room's document; state_bytes are 26 for each"),
  reducer_idle_ms: fixed(60_000, "an idle room is stored and evicted; the next call loads it"),
};

const BRIDGE = {
  user: fixed("bridge", "sender of what is committed: a service of the tenant"),
  waiting_messages: fixed(2_000, "messages that wait for the bus; above, reading pauses"),
  poll_ms: fixed(250, "with mode polling: the pause after a read that found nothing"),
};

const REDUCERS = {
  memory_limit_pages: part(
    1,
    "platform.overseer.memory_limit_pages",
    "memory of the module, in 64 KiB pages, as of a policy",
  ),
  state_bytes: fixed(
    4_194_304,
    "keys and values of one room; its Brain keeps them in memory, and a takeover loads them",
  ),
  values: fixed(10_000, "values of one room; state_bytes are 400 for each"),
  events: fixed(64, "events of one command; event_bytes are 4 KiB for each"),
  event_bytes: fixed(262_144, "bytes of the events of one command: those of a frame"),
  timers: fixed(64, "commands of one room that wait for their time"),
  snapshot_entries: fixed(1_000, "entries after which a state is stored; a takeover reads as many"),
  history_snapshots: fixed(512, "snapshots of a room for its past; history_bytes bounds them, too"),
  history_bytes: part(
    EIGHTH,
    "log_bytes",
    "bytes of the snapshots of a room; beyond: those with the nearest neighbours go, except the last two",
  ),
};

/** The constants of hooks of the configuration alone. */
const HOOKS = {
  before_timeout_ms: part(
    0.1,
    "timeout_ms",
    "with before: how long an answer may take; the sender waits for it",
  ),
};

/** The constants of every hook, tenants' hooks included, are in `[webhooks]`: see `constantAt`. */
const WEBHOOKS = {
  secret: fixed("", "the configuration has no secrets"),
  in_flight: fixed(8, "calls of a hook in parallel; those of one room are in sequence"),
  survey_ms: fixed(10_000, "interval at which a Brain looks for missed events, which are rare"),
  refusals_per_second: fixed(20, "refusals stored for a tenant's hooks; others are counted"),
  events_waiting: fixed(1_000, "refusals and budgets that wait; beyond: the oldest go"),
  backoff_ms: fixed(1_000, "pause after the first failed call; doubled each time"),
  backoff_max_ms: fixed(300_000, "the longest pause: a receiver that is back is called in 5 min"),
  dead_letters: fixed(1_000, "dead letters of one hook, for `arq hook`; beyond: the oldest go"),
  before_in_flight: fixed(64, "questions of one Shield to a hook; as many more wait"),
};

/** Constants by table of `config.toml`; the constants of a list of tables are in each entry. */
const CONSTANTS = {
  server: {
    require_pong: fixed(
      false,
      "a client that never answered a PING may stay silent, as readers do",
    ),
  },
  reducers: REDUCERS,
  bridge: { postgres: BRIDGE },
  telemetry: {
    traces_per_second: fixed(100, "traces that clients ask for on one Shield; others are not kept"),
    queue_spans: fixed(4_096, "spans that wait for export: 40 s of traces_per_second"),
    otlp_headers: fixed([], "headers hold secrets: they are in headers_file"),
    timeout_ms: fixed(5_000, "timeout of one export; its content is then dropped"),
    metrics_interval_ms: fixed(15_000, "time between exports of metrics, as between scrapes"),
    traces_on_error: fixed(true, "refusals have a span, too; traces_per_second bounds them"),
  },
  audit: {
    enabled: fixed(true, "whether there is an audit log; log_bytes and retention_days bound it"),
    pending_entries: fixed(1_024, "entries that wait to be written; one caller makes 20 a second"),
  },
  nats: {
    connect_timeout_ms: fixed(5_000, "timeout of connecting; the next server or attempt follows"),
    pending_bytes: fixed(67_108_864, "unflushed bytes to NATS, which is slower then"),
    on_storage_short: fixed("warn", "`arq doctor` and an alert report it, too; it may never fill"),
  },
  auth: {
    revocation_seconds: fixed(
      2_592_000,
      "life of a revocation that asks for none: longer than any token's",
    ),
    jwks_cache_seconds: fixed(600, "life of a key set; an unknown key is fetched at once"),
    jwks_timeout_ms: fixed(5_000, "timeout of fetching a key set; the earlier one stays in use"),
    jwks_cooldown_seconds: fixed(30, "limits unknown keys to two requests a minute per issuer"),
  },
  limits: LIMITS,
  quota: {
    user: fixed("", "the user for password_file is the one in url"),
    slice_ms: fixed(100, "a Shield reserves its next share this often; one call for 500 tenants"),
    timeout_ms: fixed(250, "an answer later than this: each Shield counts alone meanwhile"),
    retry_ms: fixed(1_000, "the first pause between two attempts to reach the server"),
    active_tenants: fixed(100_000, "tenants with slices on a Shield; others meet [limits]"),
  },
  policy: POLICY,
  platform: { mirroring: MIRRORING, registry: REGISTRY },
  presence: PRESENCE,
  brain: BRAIN,
  filters: {
    filters_per_room: fixed(100, "different filters of a room; each costs steps a message"),
    filter_chars: fixed(1_024, "a filter is a line that a person reads"),
    filter_steps: fixed(2_000, "at most a millisecond for one message and filter"),
    filters_per_tenant: fixed(1_000, "ten rooms with as many different filters as a room may have"),
  },
  durable: {
    tenant_bytes: part(
      0.75,
      "log_bytes",
      "embedded log: messages of one tenant; the rest is for tenants with little",
    ),
    shared_tenant_bytes: fixed(524_288, "a tenant's share of a shared stream, at least"),
    verify_ms: fixed(10_000, "interval of comparing open rooms with the log"),
  },
  ledger: {
    bytes: part(
      1 / 32,
      "limits.memory_bytes",
      "memory of the ledger; when it is full, the oldest goes first",
    ),
    log_bytes: fixed(
      268_435_456,
      "with store: bytes stored for all tenants; beyond: the oldest of any tenant goes",
    ),
    flush_ms: fixed(5_000, "interval of a Shield's writes; a killed one loses as much"),
    handshakes_per_second: fixed(50, "entries of refused handshakes; a repeat extends one"),
    tenant_bytes: fixed(67_108_864, "the same for one tenant: a quarter"),
    store_reads: fixed(2, "parallel reads of the store, each up to 64 MiB in memory"),
    store_wait_ms: fixed(2_000, "wait of a further read before it is refused"),
    queue_bytes: fixed(8_388_608, "the backlog of the store; what is beyond it is lost"),
  },
  hooks: HOOKS,
  webhooks: WEBHOOKS,
  journal: {
    journal_share: fixed(1, "a class of rooms has its own; connections are few beside messages"),
    journal_ttl_seconds: fixed(
      604_800,
      "age up to which decisions are kept: a week; a class of rooms has its own",
    ),
    journal_payload: fixed<"reference" | "keep" | "hash">(
      "reference",
      "how a payload is recorded; a class of rooms has its own",
    ),
    tenants: fixed("may", "a tenant's journal has at most a quarter of log_bytes"),
    journal_bytes: part(0.25, "log_bytes", "size of the journal of one tenant"),
    flush_ms: fixed(1_000, "time for which a Shield collects decisions before storing them"),
    queue_bytes: fixed(33_554_432, "decisions that wait; beyond: they are lost, and counted"),
    keys_held: fixed(16_384, "keys of users in memory; others are fetched"),
  },
  usage: {
    flush_ms: fixed(
      5_000,
      "interval of storing the running minute; a killed process loses as much",
    ),
    rows: fixed(1_024, "rows of one tenant in a minute; the rest counts as _other"),
    queue_bytes: fixed(16_777_216, "minutes that wait for their store; beyond: the oldest go"),
    tenant_bytes: part(0.25, "log_bytes", "size of the ledger of one tenant"),
    metric_tenants: fixed(100, "tenants with their own series; the ledger has all"),
  },
  pusher: {
    enabled: fixed(true, "with an app in [[pusher.apps]] its clients are answered"),
    apps: { secret: fixed("", "the configuration has no secrets") },
    presence_members: fixed(1_000, "users of a presence channel; Pusher's own servers take 100"),
    activity_timeout_seconds: fixed(120, "the value of Pusher's own servers"),
    request_skew_seconds: fixed(600, "the tolerance of Pusher's own servers"),
  },
  centrifugo: {
    api_keys: { key: fixed("", "the configuration has no secrets") },
    connect_ms: fixed(10_000, "from an open socket to the command that has the token"),
    waiting_sockets: fixed(
      1_000,
      "sockets without a token; beyond: the oldest of an address with many ends",
    ),
  },
  schedules: {
    enabled: fixed(true, "a Shield publishes what is due; without schedules it does nothing"),
    tenant_schedules: fixed(1_000, "schedules of one tenant; a tenth of all"),
    schedules: fixed(10_000, "schedules of all tenants; ten tenants with as many as one may have"),
    late_seconds: fixed(3_600, "a schedule later than this counts as missed"),
  },
  streams: {
    long_poll_ms: fixed(20_000, "duration of a long poll; shorter than what proxies wait"),
    per_tenant: fixed(10_000, "streams of one tenant, counted once a minute; the next gets 429"),
    event_stream_ms: fixed(60_000, "life of an event stream; its reader then reconnects"),
  },
  growing: {
    message_bytes: fixed(65_536, "UTF-8 of one message: ten times the longest answers of models"),
    idle_ms: fixed(60_000, "a message without an addition for this long ends as it is"),
    pieces: fixed(10_000, "pieces of one message: seven bytes each for the longest one"),
    room_messages: fixed(16, "growing messages in one room: more than people can follow"),
    tenant_messages: fixed(1_000, "growing messages of a tenant; room_messages of a room"),
    held_bytes: fixed(4_096, "bytes that policies may hold back of a message: some sentences"),
  },
  log: {
    levels: fixed([], "`PUT /v1/log` of the admin API sets one component's, at run time"),
    lines_per_second: fixed(50, "lines with the same text; the rest is one line with a count"),
  },
  watchdog: {
    stall_ms: fixed(30_000, "a process that hangs for this long ends; none recovers from that"),
  },
  sse: {
    gzip: fixed(true, "readers with gzip get it; each event is compressed once for all"),
    rooms: fixed(32, "rooms of one stream of events; clients open another one"),
    tickets: fixed(64, "unused tickets of one user"),
    ticket_seconds: fixed(30, "life of a ticket, for immediate use"),
    retry_ms: fixed(1_000, "a reader's wait before it reconnects; a drain spreads clients"),
  },
};

type Node = Constant<unknown> | Share;
type Tree = { readonly [name: string]: Node | Tree };

type ValuesOf<T> = {
  [K in keyof T]: T[K] extends Share ? number : T[K] extends Constant<infer V> ? V : ValuesOf<T[K]>;
};

/** A checked configuration: each table has its constants beside its keys. */
export type WithConstants<T> = {
  [K in keyof T]: K extends keyof typeof CONSTANTS ? Beside<T[K], ValuesOf<(typeof CONSTANTS)[K]>>
    : T[K];
};

/** The constants of a room program. */
export type ReducerConstants = ValuesOf<typeof REDUCERS>;

/** The constants of one hook of the configuration. */
export type HookConstants = ValuesOf<typeof HOOKS>;

/** The constants of hooks. */
export type WebhookConstants = ValuesOf<typeof WEBHOOKS>;

/**
 * A table with more members; an optional table stays optional. zod types a table without keys as one that never has
 * members.
 */
type Beside<T, V> = T extends readonly (infer E)[] ? Beside<E, V>[]
  : T extends object ? string extends keyof T ? V : T & V
  : T;

type Table = Record<string, unknown>;

/** Whether a value is a table of a configuration. */
export const isTable = (value: unknown): value is Table =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isConstant = (node: Node | Tree): node is Node => "why" in node;

/** Tables whose entries tenants can also create at run time, and the table that has the constants of such entries. */
const ELSEWHERE: ReadonlyMap<string | number, string> = new Map([
  ["hooks", "webhooks"],
  ["rooms", "journal"],
]);

function nodeAt(path: readonly (string | number)[]): Node | undefined {
  let node: Node | Tree | undefined = CONSTANTS;
  for (const step of path) {
    if (typeof step === "number") continue;
    if (node === undefined || isConstant(node) || !Object.hasOwn(node, step)) return undefined;
    node = node[step];
  }
  return node !== undefined && isConstant(node) ? node : undefined;
}

/** The constant that replaced a key of the file; undefined if none did. */
export function constantAt(path: readonly (string | number)[]): Node | undefined {
  const [first = "", ...rest] = path;
  return nodeAt(path) ?? nodeAt([ELSEWHERE.get(first) ?? first, ...rest]);
}

/** Every constant, by its full name. */
export function constants(tree: Tree = CONSTANTS, path = ""): [string, Node][] {
  return Object.entries(tree).flatMap(([name, node]) =>
    isConstant(node) ? [[`${path}${name}`, node]] : constants(node, `${path}${name}.`)
  );
}

/** Splits a value from code: the value without the constants that it sets, and those constants. */
export function splitConstants(value: unknown, tree: Tree = CONSTANTS): [unknown, Table] {
  if (Array.isArray(value)) {
    const parts = value.map((one) => splitConstants(one, tree));
    return [parts.map(([rest]) => rest), Object.fromEntries(parts.map(([, set]) => set).entries())];
  }
  if (!isTable(value)) return [value, {}];
  const rest: Table = {};
  const set: Table = {};
  for (const [name, member] of Object.entries(value)) {
    const node = Object.hasOwn(tree, name) ? tree[name] : undefined;
    if (node === undefined) rest[name] = member;
    else if (isConstant(node)) set[name] = member;
    else [rest[name], set[name]] = splitConstants(member, node);
  }
  return [rest, set];
}

/** The value at a path of a configuration; undefined: there is none. */
export const valueAt = (table: unknown, names: readonly string[]): unknown =>
  names.reduce((value, name) => isTable(value) ? value[name] : undefined, table);

function valueOf(node: Node, table: Readonly<Table>, file: Readonly<Table>): unknown {
  if (!("share" in node) || typeof node.value === "number") return node.value;
  const key = valueAt(node.of.includes(".") ? file : table, node.of.split("."));
  return typeof key === "number" ? Math.max(1, Math.round(key * node.share)) : undefined;
}

/** The full name of the key that a constant is a share of; undefined for other names. */
export function shareOf(key: string): string | undefined {
  const path = key.split(".");
  const node = constantAt(path);
  if (node === undefined || !("share" in node)) return undefined;
  return node.of.includes(".") ? node.of : [...path.slice(0, -1), node.of].join(".");
}

/** The tables with their constants; `set`: values that a test overrides. An absent table stays absent. */
export function withConstants(
  config: Readonly<Table>,
  set: Readonly<Table>,
  tree: Tree = CONSTANTS,
  file = config,
): Table {
  const table = { ...config };
  for (const [name, node] of Object.entries(tree)) {
    if (isConstant(node)) table[name] = set[name] ?? valueOf(node, config, file);
    else {
      const own = isTable(set[name]) ? set[name] : {};
      const inner = table[name];
      if (isTable(inner)) table[name] = withConstants(inner, own, node, file);
      else if (Array.isArray(inner)) {
        const setAt = (index: number) => isTable(own[index]) ? own[index] : {};
        table[name] = inner.map((one, index) => withConstants(one, setAt(index), node, file));
      }
    }
  }
  return table;
}
