/** What clients and backends read of a channel, as commands of its room, and what becomes of the answers. Pure. */
import { historyAsked, infoOf, PRESENCE_PAGE } from "./answers.ts";
import type { Answer, HistoryAsked, Member } from "./answers.ts";
import { ERROR } from "./codes.ts";
import type { SaidError } from "./codes.ts";
import type { Asked, Reply } from "./messages.ts";
import { memberTexts, readPage } from "./publications.ts";

/** One read. */
export interface Read {
  readonly channel: string | undefined;
  /** The room's command, and its parameters. */
  readonly name: string;
  readonly data: object;
  readonly said: (
    answer: Answer,
  ) => Pick<Reply, "error" | "presence" | "presence_stats" | "history">;
}

interface OfChannel {
  readonly channel?: string;
}

/** Commands, of which one is there, or none. */
export interface ReadAsked {
  readonly presence?: OfChannel;
  readonly presence_stats?: OfChannel;
  readonly history?: OfChannel & HistoryAsked;
}

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
      ...{ channel, name: "presence.list", data: { limit: PRESENCE_PAGE } },
      said: ({ result: { members = [], next } = {} }) =>
        next === undefined
          ? { presence: { presence: Object.fromEntries(members.map(memberOf)) } }
          : failed(ERROR.limit_exceeded, `more than ${PRESENCE_PAGE} clients are in ${channel}`),
    };
  }
  if (presence_stats !== undefined) {
    return {
      ...{ channel: presence_stats.channel, name: "presence.count", data: {} },
      said: ({ result: { connections = 0, users = 0 } = {} }) => ({
        presence_stats: { num_clients: connections, num_users: users },
      }),
    };
  }
  if (history === undefined) return undefined;
  const { channel, ...asked } = history;
  const { limit = 0, since: { epoch = "" } = {} } = asked;
  return {
    ...{ channel, name: "history.get", data: historyAsked(asked, most) },
    said({ raw = "{}" }) {
      const page = readPage(raw);
      if (epoch !== "" && epoch !== page.epoch) {
        return failed(ERROR.unrecoverable_position, `the room's epoch is ${page.epoch}`);
      }
      return { history: limit === 0 ? { ...page, publications: [] } : page };
    },
  };
}

/** `{"method":"CHANNEL/COMMAND","data":…}` as a command whose answer nobody waits for; undefined: other data. */
export function calledBy({ data }: Asked<"send">): Asked<"rpc"> | undefined {
  const is_json = data?.content_type === "" && data.json.trimStart().startsWith("{");
  const raw = memberTexts(is_json ? data.json : "{}");
  const method: unknown = JSON.parse(raw("method") ?? "null");
  if (typeof method !== "string") return undefined;
  const json = raw("data");
  return json === undefined ? { method } : { method, data: { json, content_type: "" } };
}
