/**
 * Asks the package registry for known vulnerabilities of the packages in deno.lock, through `deno audit`. A
 * registry that does not answer such requests is no failure, but the output says so: the step then proves
 * nothing.
 */
import { run } from "../checkout/programs.ts";

/** The verdict of an audit; `unanswered` means that nobody knows. */
export type AuditVerdict = "clean" | "vulnerable" | "unanswered";

const NOT_ANSWERED = [
  /error sending request/,
  /\b(40[0-9]|5[0-9]{2})\b.*(method not allowed|not found|forbidden|unauthorized|registry|server)/i,
  /failed to (get|fetch|parse) .*(registry|audit|advisor)/i,
  /registry.*(responded|returned|answered).*\b[45][0-9]{2}\b/i,
];

/**
 * The verdict for the exit and output of `deno audit`. A list of advisories counts before any other
 * complaint.
 */
export function judgeAudit(ok: boolean, output: string): AuditVerdict {
  if (ok) return "clean";
  if (/\b(severity|vulnerabilit)/i.test(output)) return "vulnerable";
  return NOT_ANSWERED.some((pattern) => pattern.test(output)) ? "unanswered" : "vulnerable";
}

if (import.meta.main) {
  const env = { NO_COLOR: "1" };
  const { ok = false, text: output = "" } = await run(Deno.execPath(), ["audit"], { env }) ?? {};
  const verdict = judgeAudit(ok, output);
  if (verdict === "unanswered") {
    console.log("NOTE the package registry does not answer audits: dependencies are NOT audited");
    console.log(`NOTE it said: ${output.split("\n").find((line) => line.trim() !== "")}`);
  } else console.log(output);
  if (verdict === "vulnerable") Deno.exit(1);
}
