/**
 * Which streams of a NATS account belong to the bus, and their backup order. Pure. A stream that refers to another one
 * is saved first: each part is a little younger than the one before, so every reference in the backup can be resolved.
 */

export interface StreamNames {
  readonly name: string;
  readonly subjects: readonly string[];
}

/** Unknown buckets precede these. Logs follow `KV_ARQON_LOGS`. */
const ORDER: readonly string[] = [
  // Mappings and room classes refer to schemas, mirror rules to nothing.
  "KV_ARQON_TENANTS",
  "KV_ARQON_SCHEMAS",
  "KV_ARQON_SCHEMAS_VERSIONS",
  // Bindings refer to modules; the modules' metadata follows them.
  "KV_ARQON_POLICIES",
  "OBJ_ARQON_MODULES",
  "KV_ARQON_POLICY_QUARANTINE",
  "KV_ARQON_POLICY_VERDICTS",
  // A room's state may refer to offsets of its log.
  "KV_ARQON_ROOMS",
  "KV_ARQON_LOGS",
];
/**
 * Nothing refers to these, so the youngest is best. Usage of a running minute is in a bucket saved before; afterwards
 * it is in the stream. The audit log has the start of each change.
 */
const LAST: readonly string[] = [
  "KV_ARQON_REVOCATIONS",
  "KV_ARQON_BANS",
  "ARQON_USAGE",
  "ARQON_AUDIT",
];
/** The usage ledger: a restore leaves an existing one, since later usage counts, too. */
const LEFT: readonly string[] = ["ARQON_USAGE", "KV_ARQON_USAGE"];

/**
 * The journal of decisions and the keys of its users are not saved: a backup with both would restore erased data. Nor
 * are the incarnations of Shields with their delivery ledgers, nor tickets, which expire in seconds.
 */
const UNSAVED: readonly string[] = [
  "ARQON_JOURNAL",
  "KV_ARQON_JOURNAL_KEYS",
  "KV_ARQON_LIVES",
  "KV_ARQON_TICKETS",
  "ARQON_LEDGER",
];

/** The streams that every bus may have. */
export const BUS_STREAMS: readonly string[] = [...ORDER, ...LAST, ...UNSAVED];

const schemaStreams = (bucket: string) => [`KV_${bucket}`, `KV_${bucket}_VERSIONS`];

/** Whether a name is a log's; `LOGS_` begins that of one which tenants share. */
const isLog = (name: string) => /^LOGS?_/.test(name);

/** Whether a stream of that name, whose subjects are unknown, has state of the bus that is saved. */
export function isBusName(name: string, schema_bucket: string): boolean {
  if (UNSAVED.includes(name)) return false;
  return /^(KV_|OBJ_)?ARQON_/.test(name) || isLog(name) ||
    schemaStreams(schema_bucket).includes(name);
}

/** Whether a stream has state of the bus that is saved. */
function isBusStream({ name, subjects }: StreamNames, schema_bucket: string): boolean {
  if (!isLog(name)) return isBusName(name, schema_bucket);
  return subjects.length > 0 &&
    subjects.every((subject) => /^log\.(t|s\.\d+\.t)\./.test(subject));
}

function rankOf(name: string, schema_bucket: string): number {
  const [current = "", versions = ""] = schemaStreams(schema_bucket);
  const plain = name === current
    ? "KV_ARQON_SCHEMAS"
    : name === versions
    ? "KV_ARQON_SCHEMAS_VERSIONS"
    : name;
  const at = ORDER.indexOf(plain);
  if (at >= 0) return at + 1;
  const last = LAST.indexOf(plain);
  if (last >= 0) return ORDER.length + 2 + last;
  return isLog(plain) ? ORDER.length + 1 : 0;
}

/** Whether a restore leaves an existing stream. */
export const isLeft = (name: string): boolean => LEFT.includes(name);

/**
 * Whether a restore leaves what there is of a bucket: it belongs to data that is not restored, as the keys of the
 * journal do. `keeps_usage`: the usage ledger is one of these.
 */
export function isKeptBucket(bucket: string, keeps_usage: boolean): boolean {
  const stream = `KV_${bucket}`;
  return UNSAVED.includes(stream) || keeps_usage && LEFT.includes(stream);
}

/** Whether it is saved before the tenants' logs. */
export function isBeforeLogs(name: string, schema_bucket: string): boolean {
  return rankOf(name, schema_bucket) <= ORDER.length;
}

/** The bus's streams in backup order. */
export function inBackupOrder<S extends StreamNames>(
  streams: readonly S[],
  schema_bucket: string,
): S[] {
  return streams.filter((stream) => isBusStream(stream, schema_bucket))
    .sort((one, other) =>
      rankOf(one.name, schema_bucket) - rankOf(other.name, schema_bucket) ||
      (one.name < other.name ? -1 : 1)
    );
}

/** The target of a restore, and the source: they decide the replicas. */
interface Replicating {
  readonly replicas: number;
  /** Whether the server of the backup was part of a cluster. */
  readonly was_clustered: boolean;
  readonly is_clustered: boolean;
}

/** Replicas of a restored stream: one on a single server, three if there are more servers now. */
export function restoredReplicas({ replicas, was_clustered, is_clustered }: Replicating): number {
  if (!is_clustered) return 1;
  return was_clustered ? replicas : 3;
}
