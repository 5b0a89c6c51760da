/** What `arq doctor` finds: one sentence, how bad it is, and what to do. */

/** `warn` works now, `fail` does not. */
export type Severity = "ok" | "warn" | "fail";

/** One thing that was looked at. Never holds a key, a token or a password. */
export interface Finding {
  /** What was looked at, in one word or two: "client port". */
  readonly check: string;
  readonly status: Severity;
  readonly text: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** All is well. */
export const ok = (check: string, text: string): Finding => ({ check, status: "ok", text });

/** It works, but something is not as it should be. */
export const warn = (check: string, text: string, fix: string): Finding => ({
  check,
  status: "warn",
  text,
  fix,
});

/** It does not work. */
export const fail = (check: string, text: string, fix: string): Finding => ({
  check,
  status: "fail",
  text,
  fix,
});

/** The text of any thrown value, on one line. */
export function whyOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\s+/g, " ");
}
