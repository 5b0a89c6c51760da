/** What is read of the Shield's answers, and what becomes of it in Centrifugo's protocol. Pure. */
import { readPresenceLeave, readPresenceUpdate, strictText, writeHistoryQuery } from "@arqon/proto";
import type { Ack, Welcome } from "@arqon/proto";
import { objectText } from "../http/members.ts";
import { ERROR } from "./codes.ts";
import type { SaidError } from "./codes.ts";
import { JSON_TYPE, jsonData, offsetOf } from "./messages.ts";
import type { Asked, ClientInfo, Command, Data, Reply, Subscribed } from "./messages.ts";
import { readPage } from "./publications.ts";

/** A client asks for another token so long before its own ends, in s, or a tenth of its time. */
const REFRESH_SECONDS = 25;
const TTL_MAX = 2 ** 31 - 1;

/** A member, as clients receive it. */
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

/** Pushes of members that come and go, of what the bus itself says of a room. */
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

/** When a client has to bring another token. */
export function ttlOf(expires_ms: number, now_ms: number): { expires: boolean; ttl: number } {
  const left = (expires_ms - now_ms) / 1_000;
  const ttl = Math.floor(left - Math.min(REFRESH_SECONDS, left / 10));
  return { expires: true, ttl: Math.min(TTL_MAX, Math.max(1, ttl)) };
}

/** What `history.get` is asked for a history; without a limit it is the position alone. */
function historyAsked(
  { limit = 0, since, reverse = false }: Asked<"history">,
  most: number,
): Data {
  const from = since === undefined
    ? {}
    : { [reverse ? "before" : "after"]: offsetOf(since.offset) };
  const asked = limit < 0 ? most : Math.min(Math.max(1, limit), most);
  const bytes = writeHistoryQuery({ limit: asked, ...from, reverse });
  return { bytes, content_type: "application/protobuf" };
}

/** A member of a room. */
export interface Member {
  readonly connection_id: string;
  readonly user_id: string;
  readonly meta?: unknown;
}

/** What is read of results and of what the bus reports of members. */
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

/** What is read of an ACK. */
export interface Answer
  extends Pick<Ack, "code">, Partial<Pick<Ack, "reason" | "message" | "retry_after_ms">> {
  readonly result?: Uint8Array;
}

/** A result of the bus's own, which is JSON. */
export const resultOf = ({ result }: Answer): Result =>
  result === undefined || result.length === 0 ? {} : JSON.parse(strictText(result));

/** The result of `connect`, with the subscriptions that the server has made. */
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
    // The Shield looks who is silent a few times in each heartbeat.
    ping: Math.max(1, Math.ceil(1.5 * heartbeat_ms / 1_000)),
    pong: true,
    ...(session === undefined ? {} : { session }),
    node: node_id,
  };
}

/** One read. */
export interface Read {
  readonly channel: string | undefined;
  /** The room's command, and its parameters. */
  readonly name: string;
  readonly data: Data;
  readonly said: (
    answer: Answer,
  ) => Pick<Reply, "error" | "presence" | "presence_stats" | "history">;
}

/** Commands, of which one is there, or none. */
export type ReadAsked = Pick<Command, "presence" | "presence_stats" | "history">;

/** Members of a page. */
const PRESENCE_PAGE = 1_000;
const memberOf = (one: Member) => [one.connection_id, infoOf(one)] as const;
const failed = (code: number, message: string): { error: SaidError } => ({
  error: { code, message },
});

/** What a command reads; undefined: it reads nothing. A history has at most `most` messages. */
export function readOf(
  { presence, presence_stats, history }: ReadAsked,
  most: number,
): Read | undefined {
  if (presence !== undefined) {
    const { channel } = presence;
    return {
      ...{ channel, name: "presence.list", data: jsonData(`{"limit":${PRESENCE_PAGE}}`) },
      said(answer) {
        const { members = [], next } = resultOf(answer);
        return next === undefined
          ? { presence: { presence: Object.fromEntries(members.map(memberOf)) } }
          : failed(ERROR.limit_exceeded, `more than ${PRESENCE_PAGE} clients are in ${channel}`);
      },
    };
  }
  if (presence_stats !== undefined) {
    return {
      ...{ channel: presence_stats.channel, name: "presence.count", data: jsonData("{}") },
      said(answer) {
        const { connections = 0, users = 0 } = resultOf(answer);
        return { presence_stats: { num_clients: connections, num_users: users } };
      },
    };
  }
  if (history === undefined) return undefined;
  const { channel, ...asked } = history;
  const { limit = 0, since: { epoch = "" } = {} } = asked;
  return {
    ...{ channel, name: "history.get", data: historyAsked(asked, most) },
    said({ result = new Uint8Array() }) {
      const page = readPage(result);
      if (epoch !== "" && epoch !== page.epoch) {
        return failed(ERROR.unrecoverable_position, `the room's epoch is ${page.epoch}`);
      }
      return { history: limit === 0 ? { ...page, publications: [] } : page };
    },
  };
}

/** `{"method":"CHANNEL/COMMAND","data":…}` as a command whose answer nobody waits for; undefined: other data. */
export function calledBy({ data }: Asked<"send">): Asked<"rpc"> | undefined {
  const text = data?.content_type === JSON_TYPE ? strictText(data.bytes) : "";
  if (!text.trimStart().startsWith("{")) return undefined;
  const members = objectText(text);
  const method: unknown = JSON.parse(members.get("method") ?? "null");
  if (typeof method !== "string") return undefined;
  const json = members.get("data");
  return json === undefined ? { method } : { method, data: jsonData(json) };
}
