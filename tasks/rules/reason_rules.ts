/**
 * The rules for `proto/errors.json` as pure functions: names and numbers are unique, and a test names every reason that
 * this version can return.
 */
import type { Violation } from "../checkout/violation.ts";
import type { Sources } from "./sources.ts";

interface ReasonEntry {
  readonly number: number;
  readonly name: string;
  /** True if it is part of the contract, but not implemented in this version. */
  readonly planned?: boolean;
}

const REGISTRY = "proto/errors.json";

/**
 * Whether a file counts as a test of a reason: a `*_test.ts`, the harness in `tests/`, or a conformance suite. The
 * gate's own tests name reasons only as samples.
 */
export function countsAsTest(path: string): boolean {
  if (path.startsWith("tasks/")) return false;
  return /_test\.ts$/.test(path) || path.startsWith("tests/") || /conformance\w*\.ts$/.test(path);
}

/** The reasons that share a number or a name with an earlier one. */
export function checkUnique(entries: readonly ReasonEntry[]): Violation[] {
  const seen = new Map<string | number, string>();
  return entries.flatMap(({ number, name }) => {
    const clashes = [number, name].filter((key) => seen.has(key)).map((key) => ({
      path: REGISTRY,
      line: 0,
      message: `"${name}" takes ${key} a second time; it belongs to "${seen.get(key)}"`,
    }));
    seen.set(number, name).set(name, name);
    return clashes;
  });
}

/** The implemented reasons that no test names in quotes. */
export function checkTested(
  entries: readonly ReasonEntry[],
  tests: readonly string[],
): Violation[] {
  const untested = entries.filter(({ name, planned }) =>
    planned !== true &&
    !tests.some((text) => ['"', "'", "`"].some((quote) => text.includes(quote + name + quote)))
  );
  return untested.map(({ name }) => ({
    path: REGISTRY,
    line: 0,
    message: `no test names "${name}"; trigger it in one, or mark it planned`,
  }));
}

/** The violations of both rules in the checkout. */
export function checkReasons(sources: Sources): Violation[] {
  const { errors } = sources.json(REGISTRY) as { errors: ReasonEntry[] };
  const tests = sources.paths.filter(countsAsTest).map((path) => sources.text(path));
  return [...checkUnique(errors), ...checkTested(errors, tests)];
}
