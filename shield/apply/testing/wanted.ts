/** What tests of applies want in force. Not for product code. */
import type { Wanted } from "../applies.ts";

/** The policy and the rule that belong together: both have the number. */
export const wanted = (number: number): Wanted => ({
  policies: [{
    name: "one",
    sha256: "0".repeat(64),
    room: "*",
    hooks: ["on_message"],
    order: number,
    mode: "enforce",
    percent: 1,
  }],
  mirror: { rules: [{ prefix: "in.t.acme.*", percent: number / 1_000 }] },
});
