/** Bodies and queries of the admin API, read within bounds and checked. */
import { ArqonError, DecodeError, isId, isJson, jsonItems, jsonMembers } from "@arqon/proto";
import { z } from "zod";
import { concat } from "../containers/concat.ts";
import { parseStrictJson, parseStrictJsonBytes } from "../strict_json.ts";
import { problemText } from "../problem.ts";
import { slice, STRANGERS } from "../turns/slices.ts";

/** Largest JSON body that is parsed at once, in bytes. */
const JSON_BYTES = 16_384;
/** The most members of a larger body, apart from the entries of its lists: more than any state has. */
const MEMBERS_MAX = 64;
const ENTRIES_MAX = 10_000;
/** The largest entry of a list, or member that is not a list, in bytes: twice a schedule with its message. */
const ENTRY_BYTES = 524_288;
/** The most problems that one answer names. */
const PROBLEMS_MAX = 8;

/** The media type of a body, in lower case and without parameters; "" if the request names none. */
export function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** Throws `unsupported-media-type` unless the body's media type is `type`. */
export function requireType(request: Request, type: string): void {
  const given = mediaType(request);
  if (given === type) return;
  throw new ArqonError("unsupported-media-type", `${JSON.stringify(given)}; expected ${type}`);
}

/** The whole body. Rejects with `too-large` as soon as it is more than `max` bytes. */
export async function readBytes(request: Request, max: number): Promise<Uint8Array> {
  const tooLarge = () => new ArqonError("too-large", `the body has more than ${max} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > max) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > max) throw tooLarge();
    chunks.push(chunk);
  }
  return concat(chunks);
}

/** The JSON body, validated by `schema`. Rejects with `malformed-body`, which names what is wrong. */
export async function readJson<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<z.output<T>> {
  requireType(request, "application/json");
  const bytes = await readBytes(request, JSON_BYTES);
  const parsed = schema.safeParse(orRefused(bytes, "malformed-body"));
  if (!parsed.success) throw new ArqonError("malformed-body", problemText(parsed.error));
  return parsed.data;
}

/** The query's `tenant`. Throws `malformed-body` when it is missing, repeated or not an id. */
export function tenantOf(url: URL): string {
  const [tenant = "", ...more] = url.searchParams.getAll("tenant");
  if (more.length > 0 || !isId(tenant)) {
    throw new ArqonError("malformed-body", "expected ?tenant= once, with a tenant id");
  }
  return tenant;
}

/** The query's parameter `true` or `false`; `preset` if it is absent. Throws `invalid-settings`. */
export function flagOf(url: URL, name: string, preset: boolean): boolean {
  const values = url.searchParams.getAll(name);
  const [value = String(preset), ...more] = values;
  if (more.length === 0 && (value === "true" || value === "false")) return value === "true";
  throw new ArqonError("invalid-settings", `expected ?${name}=true or false, once`);
}

/** The query's parameter. Throws `invalid-settings` unless it is given exactly once. */
export function parameterOf(url: URL, name: string): string {
  const [value, ...more] = url.searchParams.getAll(name);
  if (value !== undefined && value !== "" && more.length === 0) return value;
  throw new ArqonError("invalid-settings", `expected ?${name}= once`);
}

/** The JSON value of a body. Rejects with `invalid-settings` if it is not JSON or has a duplicate member. */
export async function readValue(
  request: Request,
  max_bytes: number,
  entry_bytes = ENTRY_BYTES,
): Promise<unknown> {
  requireType(request, "application/json");
  const bytes = await readBytes(request, max_bytes);
  if (bytes.length <= JSON_BYTES) return orRefused(bytes, "invalid-settings");
  try {
    return await valueInSlices(bytes, entry_bytes);
  } catch (cause) {
    throw new ArqonError("invalid-settings", problemOf(cause), { cause });
  }
}

/**
 * The value of a large JSON object, whose lists are parsed in slices. Throws if JSON parsers could disagree about it.
 */
async function valueInSlices(bytes: Uint8Array, entry_bytes: number): Promise<unknown> {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  const tooMany = (what: string) => () => new DecodeError("malformed-frame", `more than ${what}`);
  if (!isJson(text) || !text.trimStart().startsWith("{")) {
    throw new SyntaxError("it is not one JSON object");
  }
  const read = async (start: number, end: number): Promise<unknown> => {
    if (end - start > entry_bytes) throw tooMany(`${entry_bytes} bytes in one entry`)();
    await slice(STRANGERS);
    return parseStrictJson(text.slice(start, end));
  };
  const members = new Map<string, unknown>();
  const spans = jsonMembers(text, 0, MEMBERS_MAX, tooMany(`${MEMBERS_MAX} members`));
  for (const { key, start, end } of spans.values()) {
    if (text[start] !== "[") {
      members.set(key, await read(start, end));
      continue;
    }
    const list: unknown[] = [];
    for (const item of jsonItems(text, start, ENTRIES_MAX, tooMany(`${ENTRIES_MAX} ${key}`))) {
      list.push(await read(item.start, item.end));
    }
    members.set(key, list);
  }
  return Object.fromEntries(members);
}

/**
 * Reads a JSON body of at most that many bytes and validates it. Rejects with `invalid-settings`, which names what is
 * wrong.
 */
export const settingsWithin =
  (max_bytes: number, entry_bytes?: number) =>
  async <T extends z.ZodType>(request: Request, schema: T): Promise<z.output<T>> =>
    await checkedInSlices(schema, await readValue(request, max_bytes, entry_bytes));

/** An object's schema in two parts: the schemas of its lists' entries, and everything else. */
interface Outline {
  readonly entries: ReadonlyMap<string, z.core.$ZodType>;
  readonly rest: z.ZodObject;
}

const outlines = new WeakMap<z.ZodObject, Outline>();

function outlineOf(schema: z.ZodObject): Outline {
  const known = outlines.get(schema);
  if (known !== undefined) return known;
  const entries = new Map<string, z.core.$ZodType>();
  const shape: Record<string, z.core.$ZodType> = { ...schema.shape };
  for (const [name, member] of Object.entries(schema.shape)) {
    const list = member instanceof z.ZodOptional ? member.unwrap() : member;
    if (!(list instanceof z.ZodArray)) continue;
    entries.set(name, list.element);
    // The list's own checks stay: its length, and that its entries are unique.
    const bare = list.clone({ ...list.def, element: z.unknown() });
    shape[name] = list === member ? bare : bare.optional();
  }
  const outline = { entries, rest: schema.clone({ ...schema.def, shape }) };
  outlines.set(schema, outline);
  return outline;
}

/**
 * The validated value. The entries of an object's lists are checked in slices, as an entry can be expensive: a room
 * class has a filter to compile, and a schedule a time zone. Rejects with `invalid-settings`.
 */
async function checkedInSlices<T extends z.ZodType>(
  schema: T,
  value: unknown,
): Promise<z.output<T>> {
  const is_listing = schema instanceof z.ZodObject && isRecord(value);
  const { entries, rest } = is_listing ? outlineOf(schema) : { entries: [], rest: schema };
  const given: Record<string, unknown> = is_listing ? { ...value } : {};
  const issues: z.core.$ZodIssue[] = [];
  for (const [name, entry] of entries) {
    const list = given[name];
    if (!Array.isArray(list)) continue;
    const read: unknown[] = given[name] = [];
    for (const [index, one] of list.entries()) {
      await slice(STRANGERS);
      const parsed = z.safeParse(entry, one);
      read.push(parsed.success ? parsed.data : one);
      for (const { path, ...issue } of parsed.error?.issues ?? []) {
        issues.push({ ...issue, path: [name, index, ...path] });
      }
      if (issues.length >= PROBLEMS_MAX) throw refusalOf(issues);
    }
  }
  const parsed = rest.safeParse(is_listing ? given : value);
  if (parsed.success && issues.length === 0) return parsed.data as z.output<T>;
  throw refusalOf([...issues, ...parsed.error?.issues ?? []]);
}

const refusalOf = (issues: z.core.$ZodIssue[]): ArqonError =>
  new ArqonError("invalid-settings", problemText(new z.ZodError(issues)));

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The JSON value of a body and its text, for handlers that pass on parts of the text unchanged. */
export async function readValueAndText(
  request: Request,
  max_bytes: number,
): Promise<{ readonly value: unknown; readonly text: string }> {
  requireType(request, "application/json");
  const bytes = await readBytes(request, max_bytes);
  return { value: orRefused(bytes, "invalid-settings"), text: new TextDecoder().decode(bytes) };
}

/** Throws with `reason` if JSON parsers could read different values from the bytes. */
function orRefused(bytes: Uint8Array, reason: "invalid-settings" | "malformed-body"): unknown {
  try {
    return parseStrictJsonBytes(bytes);
  } catch (cause) {
    throw new ArqonError(reason, problemOf(cause), { cause });
  }
}

/** The refusal with the runtime's message, which quotes the text that the admin sent. */
function problemOf(cause: unknown): string {
  if (cause instanceof DecodeError) return cause.detail;
  if (!(cause instanceof Error)) return "it is not JSON";
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
}
