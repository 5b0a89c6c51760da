/**
 * The messages of Centrifugo's protocol that are read and written here, as tables of fields, and what they are in
 * memory. Pure. How they lie in JSON and in Protobuf is `forms.ts`. Source:
 * https://github.com/centrifugal/protocol/blob/master/definitions/client.proto
 */

/** What a field holds; `data` is JSON in place in the JSON form, and bytes in Protobuf. */
export type Kind = "string" | "number" | "bool" | "data" | Table | MapOf | ListOf;
/** Fields by name, each with its number in Protobuf. */
export interface Table {
  readonly [name: string]: readonly [number: number, kind: Kind];
}
/** A map from strings to messages, or to strings. */
export interface MapOf {
  readonly map: Table | "string";
}

/** Any number of messages. */
export interface ListOf {
  readonly list: Table;
}

/** Data as the bus's text frames have it: JSON text, and its type; "" is JSON. */
export interface Data {
  readonly json: string;
  readonly content_type: string;
}

type ValueOf<K> = K extends "string" ? string
  : K extends "number" ? number
  : K extends "bool" ? boolean
  : K extends "data" ? Data
  : K extends { readonly list: infer M } ? readonly ValueOf<M>[]
  : K extends { readonly map: infer M } ? Readonly<Record<string, ValueOf<M>>>
  : Message<K>;
/** A message in memory; what is absent has its zero value. */
export type Message<T> = {
  readonly [N in keyof T]?: T[N] extends readonly [number, infer K] ? ValueOf<K> : never;
};

const table = <const T extends Table>(fields: T): T => fields;

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
  tags: [7, { map: "string" }],
  time: [9, "number"],
});
/** One publication. */
export type Publication = Message<typeof PUBLICATION>;
/** Who publishes, joins or leaves. */
export type ClientInfo = Message<typeof CLIENT_INFO>;

const SUBSCRIBE = table({
  channel: [1, "string"],
  token: [2, "string"],
  recover: [3, "bool"],
  epoch: [6, "string"],
  offset: [7, "number"],
  join_leave: [11, "bool"],
  tf: [13, "data"],
  flag: [14, "number"],
  type: [15, "number"],
});
const TTL = { expires: [3, "bool"], ttl: [4, "number"] } as const;

/** What a client asks; exactly one of the fields behind `id` is there, or none: a pong. */
export const COMMAND = table({
  id: [1, "number"],
  connect: [4, table({ token: [1, "string"] })],
  subscribe: [5, SUBSCRIBE],
  unsubscribe: [6, CHANNEL],
  publish: [7, table({ channel: [1, "string"], data: [2, "data"], type: [3, "number"] })],
  presence: [8, CHANNEL],
  presence_stats: [9, CHANNEL],
  history: [
    10,
    table({
      channel: [1, "string"],
      limit: [7, "number"],
      since: [8, POSITION],
      reverse: [9, "bool"],
    }),
  ],
  ping: [11, table({})],
  send: [12, table({ data: [1, "data"] })],
  rpc: [13, table({ data: [1, "data"], method: [2, "string"] })],
  refresh: [14, table({ token: [1, "string"] })],
  sub_refresh: [15, table({ channel: [1, "string"], token: [2, "string"] })],
});
/** What a client asks. */
export type Command = Message<typeof COMMAND>;
/** The parts of a command, by name. */
export type Asked<Name extends keyof Command> = NonNullable<Command[Name]>;

const INFO = table({ info: [1, CLIENT_INFO] });
/** What the Shield answers; without an id a push, without that, too, a ping. */
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
    }),
  ],
  connect: [
    5,
    table({
      client: [1, "string"],
      version: [2, "string"],
      ...TTL,
      ping: [7, "number"],
      pong: [8, "bool"],
      node: [10, "string"],
    }),
  ],
  subscribe: [
    6,
    table({
      expires: [1, "bool"],
      ttl: [2, "number"],
      recoverable: [3, "bool"],
      epoch: [6, "string"],
      recovered: [8, "bool"],
      offset: [9, "number"],
      positioned: [10, "bool"],
      was_recovering: [12, "bool"],
    }),
  ],
  unsubscribe: [7, table({})],
  publish: [8, table({})],
  presence: [9, table({ presence: [1, { map: CLIENT_INFO }] })],
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
/** What the Shield answers. */
export type Reply = Message<typeof REPLY>;
