/**
 * What a client knows of each reason: code, what to do, text. Made from the compact form of
 * `errors.json`, so that a page need not load the rest of it; servers have all of it in `ERRORS`.
 */
import { CLOSE_GROUPS, REASON_GROUPS } from "../gen/errors.ts";
import type { ERRORS, Reason } from "../gen/errors.ts";

/** One reason, as clients need it. */
export interface ReasonRule {
  readonly code: number;
  /** What a client does. */
  readonly client: typeof ERRORS[Reason]["client"];
  /** The close code that comes with it; 0: the connection lives on. */
  readonly close: number;
  /** `{detail}` stands for what the occurrence has to say. */
  readonly message: string;
}

/** By reason; of one code the first is what an unknown reason of that code is taken for. */
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

/** True for a reason of this version. */
export function isReason(text: string): text is Reason {
  return REASONS.has(text);
}

/** What is known of it. */
export function ruleOf(reason: Reason): ReasonRule {
  return REASONS.get(reason) as ReasonRule;
}

/** What a client does after a close code, and its name; undefined for one of somebody else's. */
export function ruleOfClose(code: number): { client: string; name: string } | undefined {
  const [name, client = "never-retry"] = CLOSE_GROUPS[code]?.split(" ") ?? [];
  return name ? { client, name } : undefined;
}
