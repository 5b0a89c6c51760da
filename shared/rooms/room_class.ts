/**
 * The class of a room: its options, the defaults, and the options of companion rooms. `classes.ts` finds a room's
 * class.
 */
import type {
  DeltaForm,
  HttpCache,
  RoomClassEntry,
  SlowReader,
  TenantRoomClass,
} from "../config/schema_durable.ts";
import { reducedFilter } from "../filter/reduced.ts";

/** The options of a room. A class stays the same object until it changes. */
export interface RoomClass {
  /** The room id or prefix pattern; "" for the default class. */
  readonly pattern: string;
  readonly source: "default" | "config" | "tenant";
  readonly durable: boolean;
  /** The number of newest messages that a room keeps. */
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  /** The copies on a NATS cluster; undefined: 3 there, 1 on a single server. */
  readonly replicas: number | undefined;
  /** Whether a new subscriber gets the last message at once. */
  readonly cache_last: boolean;
  /** Whether SUB with presence is allowed. */
  readonly presence: boolean;
  /** The handling of a subscriber that reads too slowly. */
  readonly slow_reader: SlowReader;
  /** The most members of a room; undefined: the config's `members_per_room`. */
  readonly max_members: number | undefined;
  /** Whether publishers receive their own messages. */
  readonly echo: boolean;
  /** Who may cache the room's stream over HTTP. */
  readonly http_cache: HttpCache;
  /** Which messages subscribers may receive, in CEL; undefined: all. */
  readonly filter: string | undefined;
  /** The form of messages for clients that requested deltas. */
  readonly delta: DeltaForm;
  /** Whether joins and leaves are recorded in the companion room of members. */
  readonly membership: TenantRoomClass["membership"];
  /** Whether each room has a transparency log. */
  readonly proof: boolean;
  /** Whether it is readable without a token. */
  readonly proof_public: boolean;
  /** The recording in the journal; undefined: as in `[journal]`. */
  /** The program that is the room; undefined: none is. */
  readonly reducer: string | undefined;
  /** Claims that it may ask for. */
  readonly reducer_claims: readonly string[];
  /** The prefixes of the keys whose values subscribers see. */
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

/** The class of companion rooms with pieces of growing messages, which are transient here and stored elsewhere. */
export const GROWING_CLASS: OwnedClass = Object.freeze({
  ...DEFAULT_CLASS,
  presence: false,
  journal: "off",
});

/** The least number of messages in a room of members, which include lists of all members. */
const MEMBERS_HISTORY_MIN = 1_000;
/** The least retention of a room of members: a new list is written well before the last one expires. */
const MEMBERS_TTL_MIN_SECONDS = 3_600;

/** The least number of messages in the log of a room with a reducer: more than between two snapshots. */
const REDUCER_HISTORY_MIN = 10_000;
/** The least retention of that log, which is how long a killed bus may stay down. */
const REDUCER_TTL_MIN_SECONDS = 604_800;

/** A class in force. */
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
 * Creates the class of a stored companion room from the room's class: durable, with defaults otherwise. The same class
 * gives the same object.
 */
function besideClass(
  keeps: (one: OwnedClass) => Pick<OwnedClass, "history_size" | "history_ttl_seconds">,
): (one: OwnedClass) => OwnedClass {
  const classes = new WeakMap<OwnedClass, OwnedClass>();
  return (one) => {
    const { tenant, pattern, source, replicas } = one;
    const made = classes.get(one) ?? Object.freeze({
      ...DEFAULT_CLASS,
      tenant,
      pattern,
      source,
      durable: true,
      replicas,
      presence: false,
      journal: "off" as const,
      ...keeps(one),
    });
    classes.set(one, made);
    return made;
  };
}

/** The class of the room of members of a room of this class. */
export const membersClass = besideClass(({ history_size, history_ttl_seconds }) => ({
  history_size: Math.max(history_size, MEMBERS_HISTORY_MIN),
  history_ttl_seconds: Math.max(history_ttl_seconds, MEMBERS_TTL_MIN_SECONDS),
}));

/** The class of the log of a room with a reducer of this class. */
export const reducerClass = besideClass(({ history_size, history_ttl_seconds }) => ({
  history_size: Math.max(history_size, REDUCER_HISTORY_MIN),
  history_ttl_seconds: Math.max(history_ttl_seconds, REDUCER_TTL_MIN_SECONDS),
}));

/** The class of the companion room with changes of values of a room of this class. */
export const valuesClass = besideClass(({ history_size, history_ttl_seconds }) => ({
  history_size,
  history_ttl_seconds,
}));
