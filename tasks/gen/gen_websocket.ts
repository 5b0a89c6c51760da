/**
 * Renders the tables of docs/websocket.md: the behaviour of each kind of client sockets in the cases of RFC 6455. The
 * data is that of `shield/socket/rfc_cases_test.ts`, which runs the cases; this file runs none.
 */
import { FAIR_CASES } from "../../shield/socket/testing/conformance_fair.ts";
import { RFC_CASES } from "../../shield/socket/testing/rfc_cases.ts";
import { DIFFERENCES } from "../../shield/socket/testing/rfc_outcomes.ts";
import { table, tableRow } from "./gen_pages.ts";

const KINDS = ["native", "own"] as const;

const SHOWN = KINDS.map((kind) => "`" + kind + "`");

/** The tables of docs/websocket.md. */
export function websocketParts(): Record<"cases" | "fair", string> {
  const cases = RFC_CASES.map(({ section, what, outcomes }) => {
    const seen = KINDS.map((kind) => DIFFERENCES[kind][`${section}: ${what}`]?.join(" or ") ?? "✓");
    return tableRow(section, what, outcomes.join(" or "), ...seen);
  });
  const fair = FAIR_CASES.map(({ behaviour, except = {} }) =>
    tableRow(behaviour, ...KINDS.map((kind) => except[kind] ?? "✓"))
  );
  return {
    cases: table(["section", "the client sends", "the RFC", ...SHOWN], cases),
    fair: table(["case", ...SHOWN], fair),
  };
}
