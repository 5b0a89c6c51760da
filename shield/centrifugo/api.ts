/**
 * Centrifugo's server API, which backends ask with a key: `POST /api/METHOD` with its parameters, and `POST /api` with a
 * command in each line, as older libraries have it. What a method does is `api_methods.ts`. Source:
 * https://centrifugal.dev/docs/server/server_api
 */
import { ArqonError, jsonItems } from "@arqon/proto";
import { bodyText, readBody } from "../http/http_body.ts";
import type { ForeignEntry } from "../http/http.ts";
import { objectText } from "../http/members.ts";
import { httpCaller } from "../http/route.ts";
import { takeIngress } from "../rates/ingress.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { PendingRequests } from "../http/pending.ts";
import { showsToken } from "../../shared/http1/shown_token.ts";
import { problemResponse } from "../../shared/problem.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { ApiRefusal, errorOf, METHODS } from "./api_methods.ts";
import type { MethodCall, MethodContext } from "./api_methods.ts";
import type { ApiKeys } from "./api_keys.ts";
import { ERROR } from "./codes.ts";
import { jsonOf } from "./forms.ts";

const PATH = /^\/api(?:\/([a-z_]+))?$/;
const HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

/** What the API needs of the process. */
export interface ApiContext extends MethodContext {
  readonly keys: ApiKeys;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  readonly pending: Pick<PendingRequests, "enter">;
  readonly stats: Pick<ShieldStats, "ingress_bytes" | "ingress_ops" | "rejects">;
  readonly log: Pick<Logger, "error">;
}

/** Makes what answers the API; it never rejects. */
export function createApi(context: ApiContext): ForeignEntry {
  return (request, url, remote_ip) => {
    if (!PATH.test(url.pathname)) return undefined;
    return answerApi(context, request, url, remote_ip).catch((error) => {
      const known = refusalOf(context, error);
      return problemResponse(known, known.reason === "draining" ? { connection: "close" } : {});
    });
  };
}

/** The refusal for an error, which is counted. One that is no refusal is a fault. */
function refusalOf({ stats, log }: ApiContext, error: unknown): ArqonError {
  const known = error instanceof ArqonError ? error : new ArqonError("internal");
  if (error !== known) log.error("a request of Centrifugo's API failed", { error });
  bump(stats.rejects, known.reason);
  return known;
}

/** What a command got, as JSON. */
interface Reply {
  readonly result?: object;
  readonly error?: { readonly code: number; readonly message: string };
}

/** Answers a request. Rejects with a refusal of the request as a whole. */
async function answerApi(
  context: ApiContext,
  request: Request,
  url: URL,
  remote_ip: string,
): Promise<Response> {
  const [, method] = PATH.exec(url.pathname) ?? [];
  const identity = context.keys(keyOf(request));
  if (identity === undefined) throw new ArqonError("token-signature", "no such API key");
  showsToken(request);
  if (request.method !== "POST") throw new ArqonError("method-not-allowed", request.method);
  if (method !== undefined && method !== "batch" && !METHODS.has(method)) {
    throw new ArqonError("not-found", url.pathname);
  }
  context.requireOpen();
  using _under_way = context.pending.enter(identity);
  const text = bodyText(await readBody(request, context.limits.batch_bytes));
  const caller = httpCaller({ identity, remote_ip }, request.headers);
  const run = (name: string, params: string) => answered(context, { name, params, caller });
  const respond = (body: string) => new Response(body, { headers: HEADERS });
  if (method === undefined) return respond(await ofLines(context, text, run));
  if (method !== "batch") return respond(jsonOf(await run(method, text)));
  const replies: object[] = [];
  for (const command of commandsOf(context, text)) {
    const [[name, params] = ["", "{}"]] = objectText(command);
    const { result, error } = await run(name, params);
    replies.push(error === undefined ? { [name]: result } : { error });
  }
  return respond(jsonOf({ replies }));
}

type Run = (name: string, params: string) => Promise<Reply>;

function keyOf({ headers }: Request): string {
  const [, key = ""] = /^apikey +(.+)$/i.exec(headers.get("authorization") ?? "") ?? [];
  return headers.get("x-api-key") ?? key;
}

function commandsOf({ limits }: ApiContext, text: string): string[] {
  const list = objectText(text).get("commands") ?? "";
  if (!list.startsWith("[")) throw new ArqonError("malformed-body", 'expected {"commands":[…]}');
  const items = jsonItems(list, 0, limits.batch_messages, () => tooMany(limits.batch_messages));
  return items.map(({ start, end }) => list.slice(start, end));
}

const tooMany = (most: number) => new ArqonError("too-large", `more than ${most} commands`);

/** Commands as lines `{"method":"…","params":{…}}`, each with a line for an answer. */
async function ofLines({ limits }: ApiContext, text: string, run: Run): Promise<string> {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length > limits.batch_messages) throw tooMany(limits.batch_messages);
  const commands = lines.map(objectText);
  let replies = "";
  for (const command of commands) {
    const name: unknown = JSON.parse(command.get("method") ?? "null");
    replies += `${jsonOf(await run(String(name), command.get("params") ?? "{}"))}\n`;
  }
  return replies;
}

/** Runs one command. Its refusal is its own answer; it never rejects. */
async function answered(context: ApiContext, call: MethodCall): Promise<Reply> {
  const { identity } = call.caller;
  try {
    takeIngress(context, identity, "centrifugo_request", call.params.length);
    const method = METHODS.get(call.name);
    if (method === undefined) {
      return { error: { code: ERROR.method_not_found, message: call.name } };
    }
    return { result: await method(context, call) };
  } catch (error) {
    context.tenants.of(identity.tenant_id).rejects++;
    return { error: errorOf(error instanceof ApiRefusal ? error : refusalOf(context, error)) };
  }
}
