/**
 * The inputs of a command over HTTP besides its path: members of a JSON body, or query parameters with the same names,
 * parsed strictly. `command_call.ts` uses them; the API's description lists them.
 */
import { ArqonError, DecodeError, isJson, jsonMembers } from "@arqon/proto";
import { STRANGERS } from "../../shared/turns/slices.ts";
import { integer, TEXT } from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import { bodyText, readBody, requireJson } from "./http_body.ts";

/** A member of a command. */
export interface CommandMember {
  readonly name: string;
  /** Where the member goes: the command's data, the command itself, or the holder of a lock. */
  readonly of: "data" | "command" | "holder";
  readonly description: string;
  readonly schema: Schema;
  readonly required?: true;
}

/** The given members by name, as JSON text. */
export type GivenMembers = ReadonlyMap<string, string>;

/** A version, a fence or an id as sent: beyond 2^53, a string of digits. */
export const POSITION: Schema = {
  oneOf: [
    { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    { type: "string", pattern: "^[0-9]{1,19}$" },
  ],
};
/** Small text, up to `limits.field_bytes`. */
export const FIELD: Schema = { type: "string", maxLength: 256 };
/** A user of the tenant. */
export const USER: Schema = { type: "string", minLength: 1, maxLength: 128 };
/** A member of a command; by default it is text. */
export const member = (
  of: CommandMember["of"],
  name: string,
  description: string,
  schema: Schema = TEXT,
): CommandMember => ({ name, of, description, schema });

/** The members of a list's page. */
export const PAGE: readonly CommandMember[] = [
  member("data", "limit", "number of entries on a page", integer(1, 1_000)),
  member("data", "after", "`next` of the previous page", { ...FIELD, minLength: 1 }),
];

/** The most members in a request; no path has as many. */
const MEMBERS_MAX = 32;
const DIGITS = /^[0-9]{1,20}$/;

const quoted = (text: string) => JSON.stringify(text.slice(0, 64));

function unknown(name: string, known: readonly CommandMember[]): ArqonError {
  const right = known.map(({ name }) => name).join(", ") || "none";
  return new ArqonError("unknown-field", `${quoted(name)}; known here: ${right}`);
}

/**
 * Reads members from the query. Throws `unknown-field`, `repeated-field` or `invalid-field`.
 * `others` are parameters that are not about the command.
 */
export function membersOfQuery(
  { searchParams }: URL,
  known: readonly CommandMember[],
  others: readonly string[],
): GivenMembers {
  const given = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (others.includes(name)) continue;
    const member = known.find((one) => one.name === name);
    if (member === undefined) throw unknown(name, known);
    if (given.has(name)) throw new ArqonError("repeated-field", quoted(name));
    given.set(name, queryValue(member, value));
  }
  return given;
}

function queryValue({ name, schema }: CommandMember, value: string): string {
  if (schema["type"] === "string") return JSON.stringify(value);
  if (!DIGITS.test(value)) {
    throw new ArqonError("invalid-field", `${name}: ${quoted(value)}; expected a whole number`);
  }
  // A position beyond 2^53 is a string of digits.
  return schema["type"] === "integer" ? String(BigInt(value)) : `"${value}"`;
}

/**
 * Reads members from the body; no body is an empty object. Throws `unsupported-media-type`,
 * `malformed-body`, `repeated-field` or `unknown-field`.
 */
export function membersOfBody(
  request: Request,
  body: Uint8Array,
  known: readonly CommandMember[],
): GivenMembers {
  if (body.length === 0) return new Map();
  requireJson(request);
  const given = objectText(bodyText(body));
  for (const name of given.keys()) {
    if (!known.some((one) => one.name === name)) throw unknown(name, known);
  }
  return given;
}

/** The members of one JSON object, as written. */
export function objectText(text: string): Map<string, string> {
  if (!isJson(text)) throw new ArqonError("malformed-body", "it is not JSON");
  return memberTexts(text);
}

/** The members of a part of such a text, which is valid JSON. */
export function memberTexts(text: string): Map<string, string> {
  if (!/^\s*\{/.test(text)) throw new ArqonError("malformed-body", "expected one JSON object");
  const tooMany = () => new DecodeError("malformed-frame", `more than ${MEMBERS_MAX} members`);
  const members = jsonMembers(text, 0, MEMBERS_MAX, tooMany);
  return new Map(
    Array.from(members.values(), ({ key, start, end }) => [key, text.slice(start, end)]),
  );
}

/** Rejects with `malformed-body` if a request with members in the query also has a body. */
export async function refuseBody(request: Request): Promise<void> {
  if (request.body === null) return;
  // A body that is too long, or fails, is a body.
  const { length } = await readBody(request, 1, STRANGERS).catch(() => ({ length: 1 }));
  if (length === 0) return;
  throw new ArqonError("malformed-body", "this path accepts no body; its members are in the query");
}
