/**
 * The reasons for clients: code, action, text. From the compact form of `errors.json`, so that a page need not load
 * the rest; servers use `ERRORS`.
 */
import { CLOSE_GROUPS, type ERRORS, type Reason, REASON_GROUPS } from "../gen/errors.ts";

/** One reason, for clients. */
export interface ReasonRule {
  readonly code: number;
  /** The client's action. */
  readonly client: typeof ERRORS[Reason]["client"];
  /** The close code; 0: the connection stays open. */
  readonly close: number;
  /** The text; `{detail}` is replaced by the occurrence's detail. */
  readonly message: string;
}

/** By reason; the first one of each code replaces unknown reasons of that code. */
export const REASONS: ReadonlyMap<string, ReasonRule> = /* @__PURE__ */ ruleMap();

function ruleMap(): Map<string, ReasonRule> {
  const rules = new Map<string, ReasonRule>();
  for (const line of REASON_GROUPS.split("\n")) {
    const [group = "", ...members] = line.split("|");
    const [code, close, client = "never-retry"] = group.split(" ");
    for (const member of members) {
      const [reason = "", text] = member.split("=");
      rules.set(reason, {
        code: Number(code),
        client: client as ReasonRule["client"],
        close: Number(close ?? 0),
        message: text ||
          `${reason[0]?.toUpperCase()}${reason.slice(1).replaceAll("-", " ")}: {detail}`,
      });
    }
  }
  return rules;
}

/** Whether this version knows the reason. */
export function isReason(text: string): text is Reason {
  return REASONS.has(text);
}

/** The entry of a reason. */
export function ruleOf(reason: Reason): ReasonRule {
  return REASONS.get(reason) as ReasonRule;
}

/** A client's action after a close code, and the code's name; undefined for codes of other protocols. */
export function ruleOfClose(code: number): { client: string; name: string } | undefined {
  const [name, client = "never-retry"] = CLOSE_GROUPS[code]?.split(" ") ?? [];
  return name ? { client, name } : undefined;
}
