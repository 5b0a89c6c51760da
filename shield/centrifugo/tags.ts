/**
 * Tags of publications: the headers of a message, and `type` with the type of its event. Filters by tags become
 * filters of the bus, in CEL (docs/filters.md). Pure. Source:
 * https://github.com/centrifugal/centrifuge/blob/master/internal/filter/filter.go
 */
import { ArqonError } from "@arqon/proto";
import { ERROR, Refusal } from "./codes.ts";
import type { FilterNode } from "./messages.ts";

/** The type of events that Centrifugo's clients publish: their protocol has no event types. */
export const EVENT_TYPE = "publication";
const TYPE = "type";
/** Headers that the bus adds to messages. They are not tags. */
const OF_THE_BUS = /^x-(?:arqon-.*|timestamp|twist-id)$/i;
const UNTYPED = ["", EVENT_TYPE];
const NUMBER = String.raw`^-?[0-9]+(\.[0-9]+)?$`;

const quoted = (value: unknown) => JSON.stringify(value);

/** The tags of a message; undefined if it has none. */
export function tagsOf(
  headers: Readonly<Record<string, string>>,
  type: string,
): Readonly<Record<string, string>> | undefined {
  const tags = Object.entries(headers).filter(([name]) => !OF_THE_BUS.test(name));
  if (!UNTYPED.includes(type)) tags.push([TYPE, type]);
  return tags.length === 0 ? undefined : Object.fromEntries(tags);
}

/** A filter in CEL. Throws `invalid-filter`, or a `Refusal` if the bus cannot evaluate it as Centrifugo does. */
export function filterOf({ op = "", nodes = [], ...leaf }: FilterNode): string {
  if (op === "") return leafOf(leaf);
  const inner = nodes.map(filterOf);
  if (op === "not" && inner.length === 1) return `!${inner[0]}`;
  if (inner.length > 0 && op === "and") return `(${inner.join(" && ")})`;
  if (inner.length > 0 && op === "or") return `(${inner.join(" || ")})`;
  throw new ArqonError("invalid-filter", `${quoted(op)} with ${inner.length} filters`);
}

const WITH_VALUE: Readonly<Record<string, (tag: string, value: string) => string>> = {
  eq: (tag, value) => `${tag} == ${quoted(value)}`,
  sw: (tag, value) => `${tag}.startsWith(${quoted(value)})`,
  ew: (tag, value) => `${tag}.endsWith(${quoted(value)})`,
  ct: (tag, value) => `${tag}.contains(${quoted(value)})`,
  gt: compared(">"),
  gte: compared(">="),
  lt: compared("<"),
  lte: compared("<="),
};
/** Comparisons that negate another. */
const CONTRARY: Readonly<Record<string, string>> = { neq: "eq", nin: "in", nex: "ex" };

function compared(operator: string) {
  return (tag: string, value: string) => {
    if (!new RegExp(NUMBER).test(value)) return "false";
    if (!Number.isFinite(Number(value))) {
      throw new Refusal(ERROR.not_available, "a number is too large");
    }
    return `${tag}.matches(${quoted(NUMBER)}) && double(${tag}) ${operator} double(${
      quoted(value)
    })`;
  };
}

function leafOf({ key = "", cmp = "", val = "", vals = [] }: FilterNode): string {
  const plain = CONTRARY[cmp] ?? cmp;
  const has_values = [val !== "", vals.length > 0];
  const wanted = plain === "ex" ? [false, false] : [plain !== "in", plain === "in"];
  const is_known = plain === "ex" || plain === "in" || Object.hasOwn(WITH_VALUE, plain);
  if (!is_known || `${has_values}` !== `${wanted}` || key === "" && plain !== "ex") {
    throw new ArqonError("invalid-filter", `the comparison ${quoted(cmp)} of tag ${quoted(key)}`);
  }
  const name = quoted(key);
  const is_typed = `!(${TYPE} in ${quoted(UNTYPED)})`;
  const in_headers = OF_THE_BUS.test(key) ? "false" : `${name} in headers`;
  const has = key === TYPE ? `(${is_typed} || ${in_headers})` : in_headers;
  const tag = key === TYPE ? `(${is_typed} ? ${TYPE} : headers[${name}])` : `headers[${name}]`;
  const positive = plain === "ex"
    ? has
    : plain === "in"
    ? `(${has} ? ${tag} : "") in ${quoted(vals)}`
    : `${has} && ${WITH_VALUE[plain]?.(tag, val)}`;
  return plain === cmp ? `(${positive})` : `!(${positive})`;
}
