/**
 * A violation that a rule of the gate reports, and its printed form. The rules are pure functions in separate files;
 * only `exitWith` ends the process.
 */

/** A violation of a rule: its place, and the correct form. `line` starts at 1; 0 is the whole file. */
export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** The text of a violation: `path:line: message`, which is clickable in terminals and editors. */
function formatViolation({ path, line, message }: Violation): string {
  return line > 0 ? `${path}:${line}: ${message}` : `${path}: ${message}`;
}

/** Prints every violation and one summary line, and exits 1 when there are any. */
export function exitWith(violations: readonly Violation[], summary: string): void {
  for (const violation of violations) console.error(formatViolation(violation));
  if (violations.length === 0) {
    console.log(summary);
    return;
  }
  console.error(`${violations.length} problem${violations.length === 1 ? "" : "s"}`);
  Deno.exit(1);
}
