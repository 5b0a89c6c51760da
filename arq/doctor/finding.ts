/** A finding of `arq doctor`: one sentence, how bad it is, and what to do about it. */

/** How bad a finding is: `warn` works now, `fail` does not work. */
export type Severity = "ok" | "warn" | "fail";

/** A finding about one thing. It never holds a key, a token or a password. */
export interface Finding {
  /** The thing in one or two words: "client port". */
  readonly check: string;
  readonly status: Severity;
  readonly text: string;
  /** What to do about a warning or failure. */
  readonly fix?: string;
}

/** A finding that all is well. */
export const ok = (check: string, text: string): Finding => ({ check, status: "ok", text });

/** A finding that something works, but is not as it should be. */
export const warn = (check: string, text: string, fix: string): Finding => ({
  check,
  status: "warn",
  text,
  fix,
});

/** A finding that something does not work. */
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
