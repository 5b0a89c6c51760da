/**
 * The messages of Centrifugo's protocol that the Shield reads and writes, as tables of fields, and their types in
 * memory. Pure. `forms.ts` encodes them in JSON and in Protobuf. Source:
 * https://github.com/centrifugal/protocol/blob/master/definitions/client.proto
 */
import { ArqonError, encodeUtf8 } from "@arqon/proto";

/** The type of a field. `data` is inline JSON in the JSON form, and bytes in Protobuf; only Protobuf has `bytes`. */
export type Kind = "string" | "number" | "bool" | "data" | "bytes" | Table | MapOf | ListOf;
/** Fields by name, each with its number in Protobuf. */
export interface Table {
  readonly [name: string]: readonly [number: number, kind: Kind];
}
/** A map from strings to messages, or to strings; in Protobuf it is a list of entries. */
export interface MapOf<M extends Table | "string" = Table | "string"> {
  readonly map: M;
  readonly entry: Table;
}

interface ListOf {
  readonly list: Table | "string";
}

/** The data of an event. */
export interface Data {
  readonly bytes: Uint8Array;
  readonly content_type: string;
}

/** The content type of JSON. */
export const JSON_TYPE = "application/json";
/** JSON null as data. */
export const NULL: Data = { bytes: encodeUtf8("null"), content_type: JSON_TYPE };
/** JSON text as data. */
export const jsonData = (json: string): Data =>
  json === "null" ? NULL : { bytes: encodeUtf8(json), content_type: JSON_TYPE };

type ValueOf<K> = K extends "string" ? string
  : K extends "number" ? number
  : K extends "bool" ? boolean
  : K extends "data" ? Data
  : K extends { readonly list: infer M } ? readonly ValueOf<M>[]
  : K extends { readonly map: infer M } ? Readonly<Record<string, ValueOf<M>>>
  : Message<K>;
/** A message in memory. An absent field has its zero value. */
export type Message<T> = {
  readonly [N in keyof T]?: T[N] extends readonly [number, infer K] ? ValueOf<K> : never;
};

const table = <const T extends Table>(fields: T): T => fields;
const mapOf = <const M extends Table | "string">(map: M): MapOf<M> => ({
  map,
  entry: { key: [1, "string"], value: [2, map] },
});

const CHANNEL = table({ channel: [1, "string"] });
const POSITION = table({ offset: [1, "number"], epoch: [2, "string"] });
const CLIENT_INFO = table({
  user: [1, "string"],
  client: [2, "string"],
  conn_info: [3, "data"],
  chan_info: [4, "data"],
});
const PUBLICATION = table({
  data: [4, "data"],
  info: [5, CLIENT_INFO],
  offset: [6, "number"],
  tags: [7, mapOf("string")],
  delta: [8, "bool"],
  time: [9, "number"],
});
/** One publication. */
export type Publication = Message<typeof PUBLICATION>;
/** The client that publishes, joins or leaves. */
export type ClientInfo = Message<typeof CLIENT_INFO>;

/** A filter by tags: a comparison, or `nodes` that `op` combines. */
export interface FilterNode {
  readonly op?: string;
  readonly key?: string;
  readonly cmp?: string;
  readonly val?: string;
  readonly vals?: readonly string[];
  readonly nodes?: readonly FilterNode[];
}
/** The depth to which a filter is decoded. A deeper one is incomplete, and is refused. */
const FILTER_DEPTH = 16;
const filterAt = (depth: number): Table => ({
  op: [1, "string"],
  key: [2, "string"],
  cmp: [3, "string"],
  val: [4, "string"],
  vals: [5, { list: "string" }],
  ...(depth > 1 ? { nodes: [6, { list: filterAt(depth - 1) }] } : {}),
});

/** The offset in a client's command. Throws `invalid-field` if it is negative. */
export function offsetOf(offset = 0): number {
  if (offset >= 0) return offset;
  throw new ArqonError("invalid-field", `offset: ${offset}; expected 0 or more`);
}

const RESUMED = table({ recover: [3, "bool"], epoch: [6, "string"], offset: [7, "number"] });
/** The position from which a client recovers. */
export type Resumed = Message<typeof RESUMED>;
const SUBSCRIBE = table({
  channel: [1, "string"],
  token: [2, "string"],
  ...RESUMED,
  join_leave: [11, "bool"],
  delta: [12, "string"],
  tf: [13, filterAt(FILTER_DEPTH)],
  flag: [14, "number"],
  type: [15, "number"],
});
const PAGE = { limit: [7, "number"], since: [8, POSITION], reverse: [9, "bool"] } as const;
const HISTORY = table({ ...CHANNEL, ...PAGE });
const TTL = { expires: [3, "bool"], ttl: [4, "number"] } as const;

/** A client's command. At most one field besides `id` is present; with none it is a pong. */
export const COMMAND = table({
  id: [1, "number"],
  connect: [4, table({ token: [1, "string"], subs: [3, mapOf(RESUMED)] })],
  subscribe: [5, SUBSCRIBE],
  unsubscribe: [6, CHANNEL],
  publish: [7, table({ channel: [1, "string"], data: [2, "data"], type: [3, "number"] })],
  presence: [8, CHANNEL],
  presence_stats: [9, CHANNEL],
  history: [10, HISTORY],
  ping: [11, table({})],
  send: [12, table({ data: [1, "data"] })],
  rpc: [13, table({ data: [1, "data"], method: [2, "string"] })],
  refresh: [14, table({ token: [1, "string"] })],
  sub_refresh: [15, table({ channel: [1, "string"], token: [2, "string"] })],
});
/** A client's command. */
export type Command = Message<typeof COMMAND>;
/** The parameters of a command, by its name. */
export type RequestOf<Name extends keyof Command> = NonNullable<Command[Name]>;

const INFO = table({ info: [1, CLIENT_INFO] });
const SUBSCRIBED = table({
  expires: [1, "bool"],
  ttl: [2, "number"],
  recoverable: [3, "bool"],
  epoch: [6, "string"],
  recovered: [8, "bool"],
  offset: [9, "number"],
  positioned: [10, "bool"],
  data: [11, "data"],
  was_recovering: [12, "bool"],
  delta: [13, "bool"],
});
/** The result of a subscribe. */
export type Subscribed = Message<typeof SUBSCRIBED>;

/** The Shield's reply. Without an id it is a push; an empty one is a ping. */
export const REPLY = table({
  id: [1, "number"],
  error: [2, table({ code: [1, "number"], message: [2, "string"], temporary: [3, "bool"] })],
  push: [
    4,
    table({
      channel: [2, "string"],
      pub: [4, PUBLICATION],
      join: [5, INFO],
      leave: [6, INFO],
      unsubscribe: [7, table({ code: [2, "number"], reason: [3, "string"] })],
      subscribe: [
        9,
        table({
          recoverable: [1, "bool"],
          epoch: [4, "string"],
          offset: [5, "number"],
          positioned: [6, "bool"],
          data: [7, "data"],
        }),
      ],
      disconnect: [11, table({ code: [1, "number"], reason: [2, "string"] })],
    }),
  ],
  connect: [
    5,
    table({
      client: [1, "string"],
      version: [2, "string"],
      ...TTL,
      subs: [6, mapOf(SUBSCRIBED)],
      ping: [7, "number"],
      pong: [8, "bool"],
      session: [9, "string"],
      node: [10, "string"],
    }),
  ],
  subscribe: [6, SUBSCRIBED],
  unsubscribe: [7, table({})],
  publish: [8, table({})],
  presence: [9, table({ presence: [1, mapOf(CLIENT_INFO)] })],
  presence_stats: [10, table({ num_clients: [1, "number"], num_users: [2, "number"] })],
  history: [
    11,
    table({
      publications: [1, { list: PUBLICATION }],
      epoch: [2, "string"],
      offset: [3, "number"],
    }),
  ],
  ping: [12, table({})],
  rpc: [13, table({ data: [1, "data"] })],
  refresh: [14, table({ client: [1, "string"], version: [2, "string"], ...TTL })],
  sub_refresh: [15, table({ expires: [1, "bool"], ttl: [2, "number"] })],
});
/** The Shield's reply. */
export type Reply = Message<typeof REPLY>;

/** Commands of a client with a stream: the Shield with the stream, the secret session id, and a frame. */
export const EMULATION = table({
  node: [1, "string"],
  session: [2, "string"],
  data: [3, "string"],
});
/** The same in Protobuf, whose frames are bytes. */
export const EMULATION_BYTES = table({ ...EMULATION, data: [3, "bytes"] });
/** Commands of a client with a stream. */
export interface Emulation {
  readonly node?: string;
  readonly session?: string;
  readonly data?: string | Uint8Array<ArrayBuffer>;
}
