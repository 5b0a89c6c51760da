/** What is read of the Shield's text frames, and what becomes of it in Centrifugo's protocol. Pure. */
import { ERROR, Refusal } from "./codes.ts";
import type { Asked, ClientInfo, Reply, Subscribed } from "./messages.ts";

/** A client asks for another token so long before its own ends, in s, or a tenth of its time. */
const REFRESH_SECONDS = 25;
const TTL_MAX = 2 ** 31 - 1;

/** Throws a `Refusal` where a subscription asks for what there is not. */
export function requireSupported({ type = 0, delta = "" }: Asked<"subscribe">): void {
  const refuse = (message: string) => new Refusal(ERROR.not_available, message);
  if (type !== 0) throw refuse("only streams are available: no maps, no shared polls");
  if (delta !== "" && delta !== "fossil") throw refuse("of deltas only fossil is available");
}

/** A member, as clients receive it. */
export function infoOf({ user_id, connection_id, meta }: Member): ClientInfo {
  const conn_info = meta === undefined || meta === null
    ? {}
    : { conn_info: { json: JSON.stringify(meta), content_type: "" } };
  return { user: user_id, client: connection_id, ...conn_info };
}

const JOINS: Readonly<Record<string, "join" | "leave">> = {
  PRESENCE_UPDATE: "join",
  PRESENCE_LEAVE: "leave",
};

/** Pushes of members that come and go, of what the bus itself says of a room. */
export function joinsOf(type: string, json = "{}"): NonNullable<Reply["push"]>[] {
  const event = JOINS[type];
  if (event === undefined) return [];
  const { members = [], snapshot }: Result = JSON.parse(json);
  return snapshot === true ? [] : members.map((one) => ({ [event]: { info: infoOf(one) } }));
}

/** When a client has to bring another token. */
export function ttlOf(expires_ms: number, now_ms: number): { expires: boolean; ttl: number } {
  const left = (expires_ms - now_ms) / 1_000;
  const ttl = Math.floor(left - Math.min(REFRESH_SECONDS, left / 10));
  return { expires: true, ttl: Math.min(TTL_MAX, Math.max(1, ttl)) };
}

/** Members of a page. */
export const PRESENCE_PAGE = 1_000;

/** Which part of a history a client wants. */
export interface HistoryAsked {
  readonly limit?: number;
  readonly since?: { readonly offset?: number; readonly epoch?: string } | undefined;
  readonly reverse?: boolean;
}

/** What `history.get` is asked for a history; without a limit it is the position alone. */
export function historyAsked(
  { limit = 0, since, reverse = false }: HistoryAsked,
  most: number,
): object {
  const from = since === undefined ? {} : { [reverse ? "before" : "after"]: since.offset ?? 0 };
  return { limit: limit < 0 ? most : Math.min(Math.max(1, limit), most), ...from, reverse };
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

/** What is read of ACK and ERR. */
export interface Answer {
  readonly code: number;
  readonly reason?: string;
  readonly message?: string;
  readonly room?: string;
  readonly action?: string;
  readonly retry_after_ms?: number;
  /** Read only where it is asked for: the values of a history take ten times as long to make as it is passed on. */
  readonly result?: Result;
  /** The result as it came. */
  readonly raw?: string | undefined;
}

/** An ACK, by the texts of its members. */
export function ackOf(raw: (name: string) => string | undefined): Answer {
  const read = (name: string) => JSON.parse(raw(name) ?? "null") ?? undefined;
  const [code = 0, reason, message] = ["code", "reason", "message"].map(read);
  return {
    ...{ code, reason, message, retry_after_ms: read("retry_after_ms"), raw: raw("result") },
    get result() {
      return read("result");
    },
  };
}

/** What is read of WELCOME. */
export interface Welcome {
  readonly connection: string;
  readonly heartbeat_ms: number;
  readonly token_expires_ms: number;
  readonly node_id: string;
}

/** The result of `connect`, with the subscriptions that the server has made. */
export function connectedOf(
  { connection, heartbeat_ms, token_expires_ms, node_id }: Welcome,
  { version, session, now }: {
    readonly version: string;
    readonly session?: string;
    readonly now: () => number;
  },
  subs: Readonly<Record<string, Subscribed>>,
): NonNullable<Reply["connect"]> {
  return {
    client: connection,
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
