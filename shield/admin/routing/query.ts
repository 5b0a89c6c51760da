/**
 * Queries and bodies of admin routes about the cluster: strict, with refusals that name what is wrong and what is
 * expected.
 */
import { ArqonError, isId } from "@arqon/proto";
import { z } from "zod";
import { problemText } from "../../../shared/problem.ts";
import { about, integer, TEXT } from "../../openapi/openapi_parts.ts";

/** The most rows of one answer. */
export const ROWS_MAX = 1_000;
/** Longest value that a refusal repeats, in UTF-16 units. */
const SHOWN_UNITS = 60;

/** 1 to 64 of `[A-Za-z0-9_~:=-]`. */
export const Id = z.string().refine(isId, { error: "expected 1 to 64 of [A-Za-z0-9_~:=-]" })
  .meta({ pattern: "^[A-Za-z0-9_~:=-]{1,64}$" });
/** A number of rows from 1 to `most`. */
export const limitOf = (most: number, preset: number, description: string) => {
  const error = `expected a whole number from 1 to ${most}`;
  return z.string().regex(/^[0-9]{1,5}$/, { error }).transform(Number)
    .refine((limit) => limit >= 1 && limit <= most, { error }).default(preset)
    .meta(about(description, integer(1, most, preset)));
};
/** The requested number of rows. */
export const Limit = limitOf(ROWS_MAX, 100, "number of rows");
/** The only node that is asked. */
export const OneNode = Id.optional().describe("only this Shield or Brain");
/** A text of at most this many units. */
export const boundedText = (units: number, description: string) =>
  z.string().min(1).max(units).optional().meta(about(description, TEXT));
/** A whole number of at least `least`. */
export const wholeNumber = (description: string, least = 0) => {
  const error = `expected a whole number from ${least} to ${Number.MAX_SAFE_INTEGER}`;
  return z.string().regex(/^[0-9]{1,16}$/, { error }).transform(Number)
    .refine((number) => Number.isSafeInteger(number) && number >= least, { error }).optional()
    .meta(about(description, integer(least)));
};

const quoted = (text: string) => JSON.stringify(text.slice(0, SHOWN_UNITS));

/** Throws `invalid-settings` for a parameter that is not among `known`, or that is repeated. */
export function requireKnown({ searchParams }: URL, known: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of searchParams.keys()) {
    if (!known.includes(name)) {
      throw new ArqonError(
        "invalid-settings",
        `unknown parameter ${quoted(name)}; known: ${known.join(", ") || "none"}`,
      );
    }
    if (seen.has(name)) throw new ArqonError("invalid-settings", `${name}: expected once`);
    seen.add(name);
  }
}

/** The query, validated by its parameters' schemas; the router has checked their names. Throws as `checked` does. */
export const readQuery = <S extends z.ZodRawShape>(url: URL, shape: S) =>
  checked(Object.fromEntries(url.searchParams), z.strictObject(shape));

/** One decoded part of a path. Throws `invalid-settings` if it is not an id. */
export function requireId(text: string, what: string): string {
  if (isId(text)) return text;
  throw new ArqonError(
    "invalid-settings",
    `${what}: ${quoted(text)} is not an id; expected 1 to 64 of [A-Za-z0-9_~:=-]`,
  );
}

/** The value, validated by a schema. Throws `invalid-settings`, which names what is expected. */
export function checked<S extends z.ZodType>(value: unknown, schema: S): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ArqonError("invalid-settings", problemText(parsed.error));
}
