/**
 * `GET /v1/rooms/{room}/messages`: the HTTP twin of `history.get`, with the same refusals. It answers
 * JSON, or a Protobuf `History` to clients that accept that.
 */
import { answerWith } from "../../../shared/http1/header_list.ts";
import { httpCaller } from "../../http/route.ts";
import type { ClientHandler, DescribedRoute } from "../../http/route.ts";
import { inQuery, ref, TEXT } from "../../openapi/openapi_parts.ts";
import type { HttpRates } from "../../rates/http_rates.ts";
import { bump } from "../../stats/stats.ts";
import type { ShieldStats } from "../../stats/stats.ts";
import type { History } from "../history/history.ts";
import { isProtobufType, rangeOfParams } from "../history/history_query.ts";

const HISTORY_QUERY = [
  inQuery("after", "only messages after this offset", { type: "integer", minimum: 0 }),
  inQuery("before", "only messages before this offset", { type: "integer", minimum: 0 }),
  inQuery("limit", "how many", { type: "integer", minimum: 1, maximum: 1_000, default: 100 }),
  inQuery("reverse", "newest first", { type: "boolean" }),
  inQuery("filter", "only messages for which this is true, in CEL", TEXT),
];

/** The route and its description. */
export const HISTORY = {
  method: "GET",
  template: "/v1/rooms/{room}/messages",
  about: {
    id: "history",
    tag: "messages",
    summary: "The stored messages of a durable room",
    query: HISTORY_QUERY,
    answer: ref("History"),
    refusals: [409],
  },
} satisfies DescribedRoute;

/** The dependencies of `createHttpHistory`. */
export interface HttpHistoryContext {
  readonly history: Pick<History, "answer" | "give" | "limits">;
  readonly stats: Pick<ShieldStats, "ingress_ops">;
  readonly rates: Pick<HttpRates, "take">;
  /** Whether a token may be in the URL. */
  readonly query_token: boolean;
}

/** Makes the handler, which answers 200 with the page and rejects with a refusal. */
export function createHttpHistory(context: HttpHistoryContext): ClientHandler {
  const { history, stats, rates, query_token } = context;
  const others = query_token ? ["access_token"] : [];
  return async ({ request, client, url: { searchParams }, names: { room = "" } }) => {
    const { identity } = client;
    bump(stats.ingress_ops, "http_history");
    rates.take(identity, request.url.length);
    const caller = httpCaller(client, request.headers);
    const ask = () => rangeOfParams(searchParams, history.limits, others);
    const answer = await history.answer(caller, room, ask);
    // Whoever does not name Protobuf gets JSON.
    const protobuf = (request.headers.get("accept") ?? "").split(",").some(isProtobufType);
    // Nobody reads the body of a HEAD.
    const body = request.method !== "HEAD"
      ? await history.give(caller, room, answer, protobuf)
      : await (protobuf ? answer.protobuf() : answer.json());
    const headers = {
      "content-type": protobuf ? "application/protobuf" : "application/json",
      "cache-control": "no-store",
      "vary": "accept",
    };
    return await answerWith(request, body, headers, identity.tenant_id);
  };
}
