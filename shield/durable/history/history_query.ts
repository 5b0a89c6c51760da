/**
 * A client's query of a room's history, in its three forms: JSON or Protobuf data of a command, and the query of a URL.
 * Refusals name what is wrong and what is expected; `history_window.ts` reads the log.
 */
import { ArqonError, dataForm, readHistoryQuery, type Uint64 } from "@arqon/proto";

/** A question about history that has been checked. */
export interface HistoryRange {
  readonly after: number;
  /** Messages below this offset; 0: no limit. */
  readonly before: number;
  /** The most messages in the answer, at least 1. */
  readonly limit: number;
  /** True for the newest message first. */
  readonly reverse: boolean;
}

/** A range, and which of its messages. */
export interface HistoryQuestion extends HistoryRange {
  /** Only messages for which this is true, in CEL; "": all of them. */
  readonly filter: string;
}

/** The limits of a query: `limits.history_messages`. */
interface HistoryBounds {
  readonly history_messages: number;
}

/** The command that the Shield answers itself. */
export const HISTORY_GET = "history.get";

/** The limit of a question that names none. */
const LIMIT_DEFAULT = 100;
const MEMBERS = ["after", "before", "limit", "reverse", "filter"] as const;
const PROTOBUF = /^application\/(?:x-)?protobuf$/;
/** The values of `reverse`, as browsers and shells write them. */
const SWITCHES = new Map<unknown, boolean>([["true", true], ["1", true], ["false", false], [
  "0",
  false,
]]);

type Member = typeof MEMBERS[number];
type Given = Partial<Record<Member, unknown>>;

/** True for the content type of Protobuf data. */
export function isProtobufType(content_type: string): boolean {
  return PROTOBUF.test((content_type.split(";")[0] ?? "").trim().toLowerCase());
}

/**
 * Decodes the query in a command's data. Data without a content type is JSON; without data the query has its defaults.
 * Throws `invalid-field`, `unknown-field` or the errors of `readHistoryQuery`, all 400.
 */
export function rangeOfData(
  data: Uint8Array,
  content_type: string,
  bounds: HistoryBounds,
): HistoryQuestion {
  if (isProtobufType(content_type)) {
    const { after, before, limit, reverse, filter } = readHistoryQuery(data);
    // An absent number in Protobuf is 0.
    return check({ after, before, reverse, filter, ...(limit === 0 ? {} : { limit }) }, bounds);
  }
  if (content_type !== "" && dataForm(content_type) !== "json") {
    const right = "application/json or application/protobuf";
    throw invalid(`content_type: ${shown(content_type)}; expected ${right}`);
  }
  if (data.length === 0) return check({}, bounds);
  return check(members(data), bounds);
}

/** Reads the question in the parameters of a URL, in which `others` may occur as well. Throws as `rangeOfData` does. */
export function rangeOfParams(
  params: URLSearchParams,
  bounds: HistoryBounds,
  others: readonly string[] = [],
): HistoryQuestion {
  const given: Given = {};
  for (const [name, value] of params) {
    if (others.includes(name)) continue;
    requireMember(name);
    if (given[name] !== undefined) throw new ArqonError("repeated-field", name);
    if (name === "filter") given[name] = value;
    else if (name === "reverse") given[name] = SWITCHES.get(value) ?? value;
    else given[name] = /^[0-9]{1,20}$/.test(value) ? Number(value) : value;
  }
  return check(given, bounds);
}

/** The members of a JSON object. */
function members(data: Uint8Array): Given {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (cause) {
    throw new ArqonError("invalid-field", "data: not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid('data: expected an object such as {"after":0,"limit":100}');
  }
  for (const name of Object.keys(value)) requireMember(name);
  return value;
}

function requireMember(name: string): asserts name is Member {
  if ((MEMBERS as readonly string[]).includes(name)) return;
  throw new ArqonError("unknown-field", `${shown(name)}; there are ${MEMBERS.join(", ")}`);
}

function check(given: Given, { history_messages }: HistoryBounds): HistoryQuestion {
  const most = Math.min(LIMIT_DEFAULT, history_messages);
  const { after: above = 0, before: below = 0, limit: count = most, reverse = false } = given;
  const { filter = "" } = given;
  if (typeof filter !== "string") throw invalid(`filter: ${shown(filter)}; expected a text`);
  if (typeof reverse !== "boolean") {
    throw invalid(`reverse: ${shown(reverse)}; expected true or false`);
  }
  const limit = whole("limit", count, 1);
  if (limit > history_messages) {
    throw invalid(`limit: ${limit}; at most ${history_messages} (limits.history_messages)`);
  }
  const after = whole("after", above, 0);
  const before = whole("before", below, 0);
  return { after, before, limit, reverse, filter };
}

/** Decodes an offset or a count. JSON and JavaScript represent every offset exactly. */
function whole(name: Member, value: unknown, least: number): number {
  const number = typeof value === "bigint" ? Number(value satisfies Uint64) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= least) return number;
  const most = name === "limit" ? "" : ` to ${Number.MAX_SAFE_INTEGER}`;
  throw invalid(`${name}: ${shown(value)}; expected a whole number from ${least}${most}`);
}

/** A value as the client wrote it, shortened if long. */
function shown(value: unknown): string {
  const is_number = typeof value === "bigint" || typeof value === "number";
  return (is_number ? String(value) : JSON.stringify(value)).slice(0, 64);
}

function invalid(detail: string): ArqonError {
  return new ArqonError("invalid-field", detail);
}
