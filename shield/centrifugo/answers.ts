/** Translates answers of the bus into Centrifugo's replies, and Centrifugo's reads into commands of a room. Pure. */
import { readPresenceLeave, readPresenceUpdate, strictText, writeHistoryQuery } from "@arqon/proto";
import type { Ack, Welcome } from "@arqon/proto";
import { objectText } from "../http/members.ts";
import { type ClientError, ERROR } from "./codes.ts";
import { JSON_TYPE, jsonData, offsetOf } from "./messages.ts";
import type { ClientInfo, Command, Data, Reply, RequestOf, Subscribed } from "./messages.ts";
import { readPage } from "./publications.ts";

/** A client refreshes its token this many seconds before it expires, or a tenth of the time if that is less. */
const REFRESH_SECONDS = 25;
const TTL_MAX = 2 ** 31 - 1;

/** A member as Centrifugo's client info. */
export function infoOf({ user_id, connection_id, meta }: Member): ClientInfo {
  const conn_info = meta === undefined || meta === null
    ? {}
    : { conn_info: jsonData(JSON.stringify(meta)) };
  return { user: user_id, client: connection_id, ...conn_info };
}

const JOINS: Readonly<Record<string, "join" | "leave">> = {
  PRESENCE_UPDATE: "join",
  PRESENCE_LEAVE: "leave",
};

/** The pushes `join` and `leave` for a presence event of the bus; none for a snapshot or another type. */
export function joinsOf(type: string, { bytes }: Data): NonNullable<Reply["push"]>[] {
  const event = JOINS[type];
  if (event === undefined) return [];
  const { members, snapshot } = event === "join"
    ? readPresenceUpdate(bytes)
    : readPresenceLeave(bytes);
  if (snapshot === true) return [];
  return members.map((one) => {
    const info = infoOf({ ...one, meta: JSON.parse(one.meta || "null") });
    return { [event]: { info } };
  });
}

/** `ttl` has the seconds after which a client has to refresh its token, at least 1. */
export function ttlOf(expires_ms: number, now_ms: number): { expires: boolean; ttl: number } {
  const left = (expires_ms - now_ms) / 1_000;
  const ttl = Math.floor(left - Math.min(REFRESH_SECONDS, left / 10));
  return { expires: true, ttl: Math.min(TTL_MAX, Math.max(1, ttl)) };
}

/** The query of `history.get`. A negative limit means `most`; with 0 the client receives the position alone. */
function historyQuery(
  { limit = 0, since, reverse = false }: RequestOf<"history">,
  most: number,
): Data {
  const from = since === undefined
    ? {}
    : { [reverse ? "before" : "after"]: offsetOf(since.offset) };
  const count = limit < 0 ? most : Math.min(Math.max(1, limit), most);
  const bytes = writeHistoryQuery({ limit: count, ...from, reverse });
  return { bytes, content_type: "application/protobuf" };
}

/** A member as Centrifugo's client info. */
export interface Member {
  readonly connection_id: string;
  readonly user_id: string;
  readonly meta?: unknown;
}

/** The fields of the bus's JSON results that are read here. */
export interface Result {
  readonly members?: readonly Member[];
  readonly next?: string;
  readonly snapshot?: boolean;
  readonly connections?: number;
  readonly users?: number;
  readonly epoch?: string;
  readonly offset?: number;
  readonly recovered?: boolean;
  readonly reason?: string;
  readonly token_expires_ms?: number;
}

/** The fields of an ACK that are read here. */
export interface Answer
  extends Pick<Ack, "code">, Partial<Pick<Ack, "reason" | "message" | "retry_after_ms">> {
  readonly result?: Uint8Array;
}

/** The JSON result of a command of the bus; `{}` if it is empty. */
export const resultOf = ({ result }: Answer): Result =>
  result === undefined || result.length === 0 ? {} : JSON.parse(strictText(result));

/** The result of `connect`, with the server-side subscriptions. */
export function connectedOf(
  { connection_id, heartbeat_ms, token_expires_ms, node_id }: Welcome,
  { version, session, now }: {
    readonly version: string;
    readonly session?: string;
    readonly now: () => number;
  },
  subs: Readonly<Record<string, Subscribed>>,
): NonNullable<Reply["connect"]> {
  return {
    client: connection_id,
    version,
    ...ttlOf(token_expires_ms, now()),
    ...(Object.keys(subs).length === 0 ? {} : { subs }),
    // The Shield checks for idle clients a few times in each heartbeat, so a ping may be late.
    ping: Math.max(1, Math.ceil(1.5 * heartbeat_ms / 1_000)),
    pong: true,
    ...(session === undefined ? {} : { session }),
    node: node_id,
  };
}

/** A client's command that only reads, as a command of a room. */
export interface Read {
  readonly channel: string | undefined;
  /** The room's command; `data` has its parameters. */
  readonly name: string;
  readonly data: Data;
  readonly answered: (
    answer: Answer,
  ) => Pick<Reply, "error" | "presence" | "presence_stats" | "history">;
}

/** The commands that only read. At most one of them is present. */
export type ReadCommand = Pick<Command, "presence" | "presence_stats" | "history">;

/** The most members in a presence reply. */
const PRESENCE_PAGE = 1_000;
const memberOf = (one: Member) => [one.connection_id, infoOf(one)] as const;
const failed = (code: number, message: string): { error: ClientError } => ({
  error: { code, message },
});

/** The read of a command; undefined for other commands. A history has at most `most` messages. */
export function readOf(
  { presence, presence_stats, history }: ReadCommand,
  most: number,
): Read | undefined {
  if (presence !== undefined) {
    const { channel } = presence;
    return {
      channel,
      name: "presence.list",
      data: jsonData(`{"limit":${PRESENCE_PAGE}}`),
      answered(answer) {
        const { members = [], next } = resultOf(answer);
        return next === undefined
          ? { presence: { presence: Object.fromEntries(members.map(memberOf)) } }
          : failed(ERROR.limit_exceeded, `more than ${PRESENCE_PAGE} clients are in ${channel}`);
      },
    };
  }
  if (presence_stats !== undefined) {
    return {
      channel: presence_stats.channel,
      name: "presence.count",
      data: jsonData("{}"),
      answered(answer) {
        const { connections = 0, users = 0 } = resultOf(answer);
        return { presence_stats: { num_clients: connections, num_users: users } };
      },
    };
  }
  if (history === undefined) return undefined;
  const { channel, ...query } = history;
  const { limit = 0, since: { epoch = "" } = {} } = query;
  return {
    channel,
    name: "history.get",
    data: historyQuery(query, most),
    answered({ result = new Uint8Array() }) {
      const page = readPage(result);
      if (epoch !== "" && epoch !== page.epoch) {
        return failed(ERROR.unrecoverable_position, `the room's epoch is ${page.epoch}`);
      }
      return { history: limit === 0 ? { ...page, publications: [] } : page };
    },
  };
}

/** `{"method":"CHANNEL/COMMAND","data":…}` in a `send` as an RPC without a reply; undefined for other data. */
export function calledBy({ data }: RequestOf<"send">): RequestOf<"rpc"> | undefined {
  const text = data?.content_type === JSON_TYPE ? strictText(data.bytes) : "";
  if (!text.trimStart().startsWith("{")) return undefined;
  const members = objectText(text);
  const method: unknown = JSON.parse(members.get("method") ?? "null");
  if (typeof method !== "string") return undefined;
  const json = members.get("data");
  return json === undefined ? { method } : { method, data: jsonData(json) };
}
