/**
 * The class of a room: its options, those of rooms without a class, and those of the room in which a room's
 * members stand. Which class a room has is `classes.ts`.
 */
import type {
  DeltaForm,
  HttpCache,
  RoomClassEntry,
  SlowReader,
  TenantRoomClass,
} from "../config/schema_durable.ts";

/** The options of a room. One class is one object for as long as it does not change. */
export interface RoomClass {
  /** The room id or prefix pattern; "" for the default class. */
  readonly pattern: string;
  readonly source: "default" | "config" | "tenant";
  readonly durable: boolean;
  /** How many of a room's newest messages are kept. */
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  /** The copies on a NATS cluster; undefined: 3 there, 1 on a single server. */
  readonly replicas: number | undefined;
  /** Whether a new subscriber gets the last message at once. */
  readonly cache_last: boolean;
  /** Whether SUB with presence is allowed. */
  readonly presence: boolean;
  /** What happens to a subscriber that reads too slowly. */
  readonly slow_reader: SlowReader;
  /** The most members of a room; undefined: the config's `members_per_room`. */
  readonly max_members: number | undefined;
  /** Whether publishers receive their own messages. */
  readonly echo: boolean;
  /** Who may keep what the room's stream says over HTTP. */
  readonly http_cache: HttpCache;
  /** What subscribers may receive, in CEL; undefined: everything. */
  readonly filter: string | undefined;
  /** In what form a message goes to those who asked for deltas. */
  readonly delta: DeltaForm;
  /** Whether who came and went is kept, in the room's room of members. */
  readonly membership: TenantRoomClass["membership"];
  /** Whether each room has a transparency log. */
  readonly proof: boolean;
  /** Whether anybody may read it. */
  readonly proof_public: boolean;
  /** What is written into the journal; undefined: as `[journal]` says. */
  /** The program that is the room; undefined: none is. */
  readonly reducer: string | undefined;
  /** Claims that it may ask for. */
  readonly reducer_claims: readonly string[];
  /** How the keys begin whose values its subscribers see. */
  readonly reducer_visible: readonly string[];
  /** Whether its subscribers get the program. */
  readonly reducer_public: boolean;
  readonly journal: TenantRoomClass["journal"];
  readonly journal_share: number | undefined;
  readonly journal_ttl_seconds: number | undefined;
  readonly journal_payload: TenantRoomClass["journal_payload"];
}

/** A class and the tenant that it is for. */
export interface OwnedClass extends RoomClass {
  /** The tenant that the class is for; "*" for every tenant. */
  readonly tenant: string;
}

/** The class of rooms that no other class is about. */
export const DEFAULT_CLASS: OwnedClass = Object.freeze({
  tenant: "*",
  pattern: "",
  source: "default",
  durable: false,
  history_size: 1_000,
  history_ttl_seconds: 86_400,
  replicas: undefined,
  cache_last: false,
  presence: true,
  slow_reader: "disconnect",
  max_members: undefined,
  echo: true,
  http_cache: "none",
  filter: undefined,
  delta: "none",
  membership: "off",
  proof: false,
  proof_public: false,
  reducer: undefined,
  reducer_claims: [],
  reducer_visible: [],
  reducer_public: false,
  journal: undefined,
  journal_share: undefined,
  journal_ttl_seconds: undefined,
  journal_payload: undefined,
});

/** The class of rooms in which pieces of growing messages are reported: they pass, and are kept elsewhere. */
export const GROWING_CLASS: OwnedClass = Object.freeze({
  ...DEFAULT_CLASS,
  presence: false,
  journal: "off",
});

/** What a room of members keeps at least: lists of all members are among its messages. */
const MEMBERS_HISTORY_MIN = 1_000;
/** And for so long: a list is written anew in good time before the last one is gone. */
const MEMBERS_TTL_MIN_SECONDS = 3_600;

/** What the log of a room with a reducer keeps at least: more than is written between two snapshots. */
const REDUCER_HISTORY_MIN = 10_000;
/** And for so long, which is how long a bus may be off after it was killed. */
const REDUCER_TTL_MIN_SECONDS = 604_800;

/** Who receives an event of a reducer: whoever its `x-to` is about, if it has one. */
const TO_FILTER = `(!("x-to" in headers) || ("sub" in claims && headers["x-to"] == "user:" + ` +
  `string(claims.sub)) || ("role" in claims && headers["x-to"] == "role:" + string(claims.role)))`;

/** The filter of a class with a reducer. */
const reducedFilter = (filter: string | undefined) =>
  filter === undefined ? TO_FILTER : `${TO_FILTER} && (${filter})`;

/** A class as it is in force. */
export function compileClass(
  entry:
    & TenantRoomClass
    & Partial<
      Pick<RoomClassEntry, "reducer" | "reducer_claims" | "reducer_visible" | "reducer_public">
    >,
  tenant: string,
  source: "config" | "tenant",
): OwnedClass {
  return Object.freeze({
    tenant,
    pattern: entry.room,
    source,
    durable: entry.durable,
    history_size: entry.history_size,
    history_ttl_seconds: entry.history_ttl_seconds,
    replicas: entry.replicas,
    cache_last: entry.cache_last,
    presence: entry.presence,
    slow_reader: entry.slow_reader,
    max_members: entry.max_members,
    echo: entry.echo,
    http_cache: entry.http_cache,
    filter: entry.reducer === undefined ? entry.filter : reducedFilter(entry.filter),
    delta: entry.delta,
    membership: entry.membership,
    proof: entry.proof === true,
    proof_public: entry.proof === true && entry.proof_public === true,
    reducer: entry.reducer,
    reducer_claims: entry.reducer_claims ?? [],
    reducer_visible: entry.reducer === undefined ? [] : entry.reducer_visible ?? [],
    reducer_public: entry.reducer !== undefined && entry.reducer_public === true,
    journal: entry.journal,
    journal_share: entry.journal_share,
    journal_ttl_seconds: entry.journal_ttl_seconds,
    journal_payload: entry.journal_payload,
  });
}

/**
 * Makes the class of what is kept beside a room, of the class of the room: durable, and all else by default. The same
 * class gives the same object.
 */
function besideClass(
  keeps: (one: OwnedClass) => Pick<OwnedClass, "history_size" | "history_ttl_seconds">,
): (one: OwnedClass) => OwnedClass {
  const classes = new WeakMap<OwnedClass, OwnedClass>();
  return (one) => {
    const { tenant, pattern, source, replicas } = one;
    const made = classes.get(one) ?? Object.freeze({
      ...{ ...DEFAULT_CLASS, tenant, pattern, source, durable: true, replicas, presence: false },
      ...{ journal: "off" as const, ...keeps(one) },
    });
    classes.set(one, made);
    return made;
  };
}

/** What holds for the room of members of a room of this class. */
export const membersClass = besideClass(({ history_size, history_ttl_seconds }) => ({
  history_size: Math.max(history_size, MEMBERS_HISTORY_MIN),
  history_ttl_seconds: Math.max(history_ttl_seconds, MEMBERS_TTL_MIN_SECONDS),
}));

/** What holds for the log of a room with a reducer, of a room of this class. */
export const reducerClass = besideClass(({ history_size, history_ttl_seconds }) => ({
  history_size: Math.max(history_size, REDUCER_HISTORY_MIN),
  history_ttl_seconds: Math.max(history_ttl_seconds, REDUCER_TTL_MIN_SECONDS),
}));

/** What holds for the room in which changes of the values of a room of this class are reported. */
export const valuesClass = besideClass(({ history_size, history_ttl_seconds }) => ({
  history_size,
  history_ttl_seconds,
}));
