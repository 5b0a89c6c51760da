/** Tests of tag filters: each comparison gives the same result as Centrifugo's own filter. */
import assert from "node:assert/strict";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import { MessageView } from "../../shared/filter/message_view.ts";
import { FilterProgram } from "../../shared/filter/program.ts";
import { Refusal } from "./codes.ts";
import type { FilterNode } from "./messages.ts";
import { filterOf, tagsOf } from "./tags.ts";

const LIMITS = { filter_chars: 4_096, filter_steps: 2_000 };
const COUNTS = { match: 0, no_match: 0, error: 0, cost: 0 };

interface Tagged {
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Asserts that the bus's filter and Centrifugo's agree on every message. */
function compare(node: FilterNode): void {
  const program = new FilterProgram(filterOf(node), LIMITS, ["type", "headers"]);
  for (const { type, headers } of TAGGED) {
    const event = { type, data: new Uint8Array(0) };
    const view = new MessageView(writeEnvelope({ room_id: "r", headers, event }), COUNTS);
    const wanted = matches(node, tagsOf(headers, type) ?? {});
    const about = JSON.stringify([node, program.text, type, headers]);
    assert.equal(program.judge(view, {}), wanted, about);
  }
}

/** Centrifugo's `Match`, from its internal/filter/filter.go. */
function matches(node: FilterNode, tags: Readonly<Record<string, string>>): boolean {
  const { op = "", key = "", cmp = "", val = "", vals = [], nodes = [] } = node;
  if (op === "and") return nodes.every((one) => matches(one, tags));
  if (op === "or") return nodes.some((one) => matches(one, tags));
  if (op === "not") return !matches(nodes[0]!, tags);
  const is_there = Object.hasOwn(tags, key);
  const value = tags[key] ?? "";
  const isNumber = (text: string) => text !== "" && Number.isFinite(Number(text));
  const are_numbers = is_there && isNumber(value) && isNumber(val);
  const answers: Record<string, boolean> = {
    eq: is_there && value === val,
    neq: !is_there || value !== val,
    in: vals.includes(value),
    nin: !vals.includes(value),
    ex: is_there,
    nex: !is_there,
    sw: is_there && value.startsWith(val),
    ew: is_there && value.endsWith(val),
    ct: is_there && value.includes(val),
    gt: are_numbers && Number(value) > Number(val),
    gte: are_numbers && Number(value) >= Number(val),
    lt: are_numbers && Number(value) < Number(val),
    lte: are_numbers && Number(value) <= Number(val),
  };
  return answers[cmp]!;
}

const VALUES = ["", "a", "ab", 'b"\\', "-3", "7.5", "10", "x1"];
const TAGGED: readonly Tagged[] = ["publication", "", "order"].flatMap((type) => [
  { type, headers: {} },
  ...VALUES.map((value) => ({ type, headers: { k: value, type: value, "X-Twist-ID": "a" } })),
]);
const LEAVES: readonly FilterNode[] = ["k", "type", "none", "x-twist-id", "X-Twist-ID"].flatMap((
  key,
) => [
  ...["ex", "nex"].map((cmp) => ({ key, cmp })),
  ...["in", "nin"].map((cmp) => ({ key, cmp, vals: ["", "a", "order"] })),
  ...["eq", "neq", "sw", "ew", "ct", "gt", "gte", "lt", "lte"].flatMap((cmp) =>
    [...VALUES.slice(1), "order"].map((val) => ({ key, cmp, val }))
  ),
]);

Deno.test("every comparison agrees with Centrifugo's on every tag", () => {
  for (const leaf of LEAVES) compare(leaf);
});

Deno.test("and, or and not combine comparisons", () => {
  for (let at = 0; at + 3 < LEAVES.length; at += 3) {
    const nodes = LEAVES.slice(at, at + 3);
    const not = { op: "not", nodes: [{ op: "and", nodes }] };
    compare({ op: "or", nodes: [not, { op: "and", nodes: LEAVES.slice(at + 1, at + 3) }] });
  }
});

Deno.test("filterOf refuses invalid filters and numbers that are too large", () => {
  const odd: readonly FilterNode[] = [
    ...[{}, { key: "k" }, { key: "k", cmp: "toString", val: "x" }, { cmp: "eq", val: "x" }],
    ...[{ key: "k", cmp: "eq" }, { key: "k", cmp: "eq", val: "x", vals: ["y"] }],
    ...[{ key: "k", cmp: "in" }, { key: "k", cmp: "ex", val: "x" }, { op: "and" }, { op: "nor" }],
    { op: "not", nodes: [{ key: "k", cmp: "ex" }, { key: "k", cmp: "ex" }] },
  ];
  for (const node of odd) {
    const isRefused = (error: unknown) =>
      error instanceof ArqonError && error.reason === "invalid-filter";
    assert.throws(() => filterOf(node), isRefused, JSON.stringify(node));
  }
  assert.throws(() => filterOf({ key: "k", cmp: "gt", val: "9".repeat(400) }), Refusal);
});
