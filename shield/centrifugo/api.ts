/**
 * Centrifugo's server API for backends with an API key: `POST /api/METHOD` with parameters, and `POST /api` with one
 * command a line, the form of older libraries. `api_methods.ts` has the methods. Source:
 * https://centrifugal.dev/docs/server/server_api
 */
import { ArqonError, jsonItems } from "@arqon/proto";
import { bodyText, readBody } from "../http/http_body.ts";
import type { ForeignEntry } from "../http/http.ts";
import { type GivenMembers, memberTexts, objectText } from "../http/members.ts";
import { httpCaller } from "../http/route.ts";
import type { Caller } from "../message/caller.ts";
import { takeIngress } from "../rates/http_rates.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import type { PendingRequests } from "../http/pending.ts";
import { showsToken } from "../../shared/http1/handled_request.ts";
import { slice } from "../../shared/turns/slices.ts";
import { problemResponse } from "../../shared/problem.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { answerOf, type MethodContext, METHODS, PASSING, type Refused } from "./api_methods.ts";
import type { ApiKeys } from "./api_keys.ts";
import { clientError, ERROR, Refusal, STATUS } from "./codes.ts";
import { jsonOf } from "./forms.ts";

const PATH = /^\/api(?:\/([a-z_]+))?$/;
const HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

/** The API's dependencies in the process. */
interface ApiContext extends MethodContext {
  readonly keys: ApiKeys;
  /** Throws while the process drains. */
  readonly requireOpen: () => void;
  readonly pending: Pick<PendingRequests, "enter">;
  readonly stats: Pick<ShieldStats, "ingress_bytes" | "ingress_ops" | "rejects">;
  readonly log: Pick<Logger, "error">;
}

/** Creates the API's request handler, which returns undefined for other paths and never rejects. */
export function createApi(context: ApiContext): ForeignEntry {
  return (request, url, remote_ip) => {
    if (!PATH.test(url.pathname)) return undefined;
    return answerApi(context, request, url, remote_ip).catch((error) => {
      const known = refusalOf(context, error);
      return problemResponse(known, known.reason === "draining" ? { connection: "close" } : {});
    });
  };
}

/** Counts an error and returns its refusal. An error that is not a refusal is logged and becomes `internal`. */
export function refusalOf(
  { stats, log }: Pick<ApiContext, "log"> & { readonly stats: Pick<ShieldStats, "rejects"> },
  error: unknown,
): ArqonError {
  const known = error instanceof ArqonError ? error : new ArqonError("internal");
  if (error !== known) log.error("what a Centrifugo client or backend asked for failed", { error });
  bump(stats.rejects, known.reason);
  return known;
}

type Reply = { readonly result: object; readonly error?: never } | Refused;

/** Answers a request. Rejects with a refusal if the whole request is refused. */
async function answerApi(
  context: ApiContext,
  request: Request,
  url: URL,
  remote_ip: string,
): Promise<Response> {
  const [, method] = PATH.exec(url.pathname) ?? [];
  const unknown = () => new ArqonError("token-signature", "no such API key");
  const identity = context.keys(keyOf(request));
  if (identity === undefined) throw unknown();
  showsToken(request);
  if (request.method !== "POST") throw new ArqonError("method-not-allowed", request.method);
  if (method !== undefined && method !== "batch" && !METHODS.has(method)) {
    throw new ArqonError("not-found", url.pathname);
  }
  context.requireOpen();
  using _under_way = context.pending.enter(identity);
  const text = bodyText(await readBody(request, context.limits.batch_bytes, identity.tenant_id));
  // A reload may have replaced the key while the body came.
  if (context.keys(keyOf(request)) === undefined) throw unknown();
  const caller = httpCaller({ identity, remote_ip }, request.headers);
  const respond = (body: string, status = 200) => new Response(body, { status, headers: HEADERS });
  const answers = answerAll.bind(undefined, context, caller);
  if (method === undefined) {
    return respond((await answers(linesOf(context, text))).map((one) => `${one}\n`).join(""));
  }
  if (method !== "batch") {
    const by_status = request.headers.get("x-centrifugo-error-mode") === "transport";
    let status = 200;
    const [body] = await answers([[method, text, objectText]], (_, reply) => {
      if (!by_status || reply.error === undefined) return reply;
      status = STATUS[reply.error.code] ?? 400;
      return reply.error;
    });
    return respond(body!, status);
  }
  const named = (name: string, reply: Reply) => "error" in reply ? reply : { [name]: reply.result };
  return respond(`{"replies":[${(await answers(commandsOf(context, text), named)).join()}]}`);
}

/** A command: its method, the text of its parameters, and their parser. */
type Command = readonly [name: string, params: string, read: (params: string) => GivenMembers];

/** The most characters in the answers to one request, which are in memory together. */
const ANSWERS_MAX = 16_777_216;
const FULL = { error: { code: ERROR.limit_exceeded, message: "answers before it are too long" } };

/** Runs commands in order and returns their replies as JSON. Consecutive publishes are confirmed together. */
async function answerAll(
  context: ApiContext,
  caller: Caller,
  commands: readonly Command[],
  form = (_name: string, reply: Reply): object => reply,
): Promise<string[]> {
  const { tenant_id } = caller.identity;
  const texts: string[] = [];
  let characters = 0;
  let answers: (Reply | Promise<Reply>)[] = [];
  const write = async () => {
    for (const reply of await Promise.all(answers)) {
      await slice(tenant_id);
      const text = jsonOf(form(commands[texts.length]![0], reply));
      characters += text.length;
      texts.push(text);
    }
    answers = [];
  };
  for (const command of commands) {
    await slice(tenant_id);
    // The command has to see the effects of the earlier ones.
    if (!PASSING.includes(command[0])) await write();
    const is_full = characters > ANSWERS_MAX;
    answers.push(is_full ? FULL : (await begun(context, caller, command)).answer);
  }
  await write();
  return texts;
}

function keyOf({ headers }: Request): string {
  const [, key = ""] = /^apikey +(.+)$/i.exec(headers.get("authorization") ?? "") ?? [];
  return headers.get("x-api-key") ?? key;
}

function commandsOf({ limits }: ApiContext, text: string): Command[] {
  const list = objectText(text).get("commands") ?? "";
  if (!list.startsWith("[")) throw new ArqonError("malformed-body", 'expected {"commands":[…]}');
  const items = jsonItems(list, 0, limits.batch_messages, () => tooMany(limits.batch_messages));
  return items.map(({ start, end }) => {
    const [[name, params] = ["", "{}"] as const] = memberTexts(list.slice(start, end));
    return [name, params, memberTexts];
  });
}

const tooMany = (most: number) => new ArqonError("too-large", `more than ${most} commands`);

/** Parses lines of `{"method":"…","params":{…}}`. */
function linesOf({ limits }: ApiContext, text: string): Command[] {
  const { batch_messages: most } = limits;
  // Empty lines count, too: otherwise a body of them would be split into a million texts.
  const lines = text.trim().split("\n", most + 1);
  if (lines.length > most) throw tooMany(most);
  return lines.filter((line) => line.trim() !== "").map((line) => {
    const command = objectText(line);
    const name: unknown = JSON.parse(command.get("method") ?? "null");
    // The text of a deep list would overflow the stack.
    if (typeof name !== "string") throw new ArqonError("malformed-body", "method: not a string");
    return [name, command.get("params") ?? "{}", memberTexts];
  });
}

/** Starts a command and resolves when the next one may start. A refusal is an answer; it never rejects. */
async function begun(
  context: ApiContext,
  caller: Caller,
  [name, params, read]: Command,
): Promise<{ readonly answer: Reply | Promise<Reply> }> {
  const { identity } = caller;
  const { limits: { max_frame_bytes } } = context;
  const refused = (error: unknown) => {
    context.tenants.of(identity.tenant_id).rejects++;
    const shown = error instanceof Refusal ? error.error : clientError(refusalOf(context, error));
    return { error: { code: shown.code, message: shown.message } };
  };
  try {
    takeIngress(context, identity, "centrifugo_request", params.length);
    const method = METHODS.get(name);
    if (method === undefined) {
      return { answer: { error: { code: ERROR.method_not_found, message: name } } };
    }
    if (params.length > max_frame_bytes) {
      throw new ArqonError("too-large", `more than ${max_frame_bytes} bytes`);
    }
    const call = { params: read(params), caller, refused };
    return answerOf(await method(context, call), call);
  } catch (error) {
    return { answer: refused(error) };
  }
}
