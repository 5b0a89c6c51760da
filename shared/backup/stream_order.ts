/**
 * Which streams of a NATS account are the bus's, and in which order they are saved. Pure. What names
 * something is taken before what it names, so that in a backup, whose parts are each a little younger
 * than the one before, every name leads somewhere.
 */

/** What is looked at of a stream. */
export interface StreamNames {
  readonly name: string;
  readonly subjects: readonly string[];
}

/** Before them: buckets of which this program knows nothing. Logs are behind `KV_ARQON_LOGS`. */
const ORDER: readonly string[] = [
  // Mappings and room classes name schemas, mirror rules name nothing.
  "KV_ARQON_TENANTS",
  "KV_ARQON_SCHEMAS",
  "KV_ARQON_SCHEMAS_VERSIONS",
  // Bindings name modules; what is known of modules comes behind them.
  "KV_ARQON_POLICIES",
  "OBJ_ARQON_MODULES",
  "KV_ARQON_POLICY_QUARANTINE",
  "KV_ARQON_POLICY_VERDICTS",
  // A room's state may name offsets of its log.
  "KV_ARQON_ROOMS",
  "KV_ARQON_LOGS",
];
/**
 * Named by nobody, and the younger the better. What a minute of use had while it ran is in a bucket before: once
 * it is over, it is in the stream. The audit log has of each change that it began.
 */
const LAST: readonly string[] = [
  "KV_ARQON_REVOCATIONS",
  "KV_ARQON_BANS",
  "ARQON_USAGE",
  "ARQON_AUDIT",
];
/** The ledger of use: where one is, a restore leaves it, since what was used later was used, too. */
const LEFT: readonly string[] = ["ARQON_USAGE", "KV_ARQON_USAGE"];

/**
 * The journal of decisions and the keys of what it says of users are not saved: a backup that had both would
 * give back what was erased. Nor are the lives of Shields and their ledgers of deliveries, nor tickets, which are
 * over in seconds.
 */
const UNSAVED: readonly string[] = [
  "ARQON_JOURNAL",
  "KV_ARQON_JOURNAL_KEYS",
  "KV_ARQON_LIVES",
  "KV_ARQON_TICKETS",
  "ARQON_LEDGER",
];

/** The streams that every bus may have, under these names. */
export const BUS_STREAMS: readonly string[] = [...ORDER, ...LAST, ...UNSAVED];

/** Of the bucket of schemas, which the configuration may call otherwise. */
const schemaStreams = (bucket: string) => [`KV_${bucket}`, `KV_${bucket}_VERSIONS`];

/** By its name; `LOGS_` begins that of a stream which tenants share. */
const isLog = (name: string) => /^LOGS?_/.test(name);

/** Whether the bus keeps state in this stream that is saved. */
function isBusStream({ name, subjects }: StreamNames, schema_bucket: string): boolean {
  if (UNSAVED.includes(name)) return false;
  if (/^(KV_|OBJ_)?ARQON_/.test(name) || schemaStreams(schema_bucket).includes(name)) return true;
  return isLog(name) && subjects.length > 0 &&
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

/** Whether a restore leaves the stream where it is there. */
export const isLeft = (name: string): boolean => LEFT.includes(name);

/** Whether it is saved before the logs of tenants. */
export function isBeforeLogs(name: string, schema_bucket: string): boolean {
  return rankOf(name, schema_bucket) <= ORDER.length;
}

/** The bus's streams, in the order in which they are saved. */
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

/** Where a stream is restored, and where it was: replicas hang on it. */
export interface Replicating {
  readonly replicas: number;
  /** Whether the server of the backup was part of a cluster. */
  readonly was_clustered: boolean;
  readonly is_clustered: boolean;
}

/** Copies of a restored stream: one where there is one server, three where there now are more. */
export function restoredReplicas({ replicas, was_clustered, is_clustered }: Replicating): number {
  if (!is_clustered) return 1;
  return was_clustered ? replicas : 3;
}
