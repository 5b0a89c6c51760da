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
  readonly journal_bytes: number | undefined;
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
  reducer: undefined,
  reducer_claims: [],
  reducer_visible: [],
  reducer_public: false,
  journal: undefined,
  journal_share: undefined,
  journal_ttl_seconds: undefined,
  journal_bytes: undefined,
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
    reducer: entry.reducer,
    reducer_claims: entry.reducer_claims ?? [],
    reducer_visible: entry.reducer === undefined ? [] : entry.reducer_visible ?? [],
    reducer_public: entry.reducer !== undefined && entry.reducer_public === true,
    journal: entry.journal,
    journal_share: entry.journal_share,
    journal_ttl_seconds: entry.journal_ttl_seconds,
    journal_bytes: entry.journal_bytes,
    journal_payload: entry.journal_payload,
  });
}

/** The classes of rooms of members, by the classes of the rooms whose members they have. */
const members_classes = new WeakMap<OwnedClass, OwnedClass>();

/** What holds for the room of members of a room of this class. */
export function membersClass(one: OwnedClass): OwnedClass {
  const known = members_classes.get(one);
  if (known !== undefined) return known;
  const { history_size, ...kept } = one;
  const made: OwnedClass = Object.freeze({
    ...DEFAULT_CLASS,
    tenant: kept.tenant,
    pattern: kept.pattern,
    source: kept.source,
    durable: true,
    history_size: Math.max(history_size, MEMBERS_HISTORY_MIN),
    history_ttl_seconds: Math.max(kept.history_ttl_seconds, MEMBERS_TTL_MIN_SECONDS),
    replicas: kept.replicas,
    presence: false,
    journal: "off",
  });
  members_classes.set(one, made);
  return made;
}

/** The classes of the logs of rooms with reducers, by the classes of the rooms. */
const reducer_classes = new WeakMap<OwnedClass, OwnedClass>();

/** What holds for the log of a room of this class. */
export function reducerClass(one: OwnedClass): OwnedClass {
  const known = reducer_classes.get(one);
  if (known !== undefined) return known;
  const made: OwnedClass = Object.freeze({
    ...DEFAULT_CLASS,
    tenant: one.tenant,
    pattern: one.pattern,
    source: one.source,
    durable: true,
    history_size: Math.max(one.history_size, REDUCER_HISTORY_MIN),
    history_ttl_seconds: Math.max(one.history_ttl_seconds, REDUCER_TTL_MIN_SECONDS),
    replicas: one.replicas,
    presence: false,
    journal: "off",
  });
  reducer_classes.set(one, made);
  return made;
}

/** The classes of rooms with changes of values, by the classes of the rooms. */
const values_classes = new WeakMap<OwnedClass, OwnedClass>();

/** What holds for the room in which changes of the values of a room of this class are reported. */
export function valuesClass(one: OwnedClass): OwnedClass {
  const known = values_classes.get(one);
  if (known !== undefined) return known;
  const made: OwnedClass = Object.freeze({
    ...DEFAULT_CLASS,
    tenant: one.tenant,
    pattern: one.pattern,
    source: one.source,
    durable: true,
    history_size: one.history_size,
    history_ttl_seconds: one.history_ttl_seconds,
    replicas: one.replicas,
    presence: false,
    journal: "off",
  });
  values_classes.set(one, made);
  return made;
}
