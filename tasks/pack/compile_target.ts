/**
 * The targets of `deno task compile`, and the content of a binary that Deno made: the flags and permissions
 * in it, read from its bytes. Pure.
 */
import { parseArgs } from "node:util";
import { Buffer } from "node:buffer";

/** The targets of a release. */
export const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "aarch64-apple-darwin",
  "x86_64-apple-darwin",
  "x86_64-pc-windows-msvc",
] as const;

/** A target of a release. */
export type Target = (typeof TARGETS)[number];

/** Whether a word names a target. */
export function isTarget(word: string): word is Target {
  return (TARGETS as readonly string[]).includes(word);
}

/** File name of a program on a target. */
export function programFile(name: string, target: Target): string {
  return target.includes("windows") ? `${name}.exe` : name;
}

/** With this flag `deno compile` leaves out what is loaded later; without it a binary has no graph to walk. */
const WALKS_NO_GRAPH = "--unstable-lazy-dynamic-imports";

/**
 * The flags of `deno compile` for a program whose task has `task_flags`: the same, except that the program
 * may start any program, and holds what it loads later. It starts itself, for trial compilations and more
 * Shields, at an unknown path, and Deno has no word for "this program" in a permission.
 */
export function compileFlags(task_flags: readonly string[]): string[] {
  return task_flags.filter((flag) => flag !== WALKS_NO_GRAPH)
    .map((flag) => flag.startsWith("--allow-run=") ? "--allow-run" : flag);
}

/** The parts of a compiled program's own description that are checked. */
interface Embedded {
  readonly v8_flags: readonly string[];
  /** Permissions by name, `allow_read` and so on: null for nothing, an empty list for everything. */
  readonly permissions: Readonly<Record<string, readonly string[] | null | boolean>>;
  readonly unstable_config: { readonly features: readonly string[] };
}

const START = '{"argv":[';
/** Most bytes of a description. */
const EMBEDDED_BYTES_MAX = 1_000_000;

function embeddedAt(bytes: Buffer, from: number): Embedded | undefined {
  const text = bytes.toString("latin1", from, from + EMBEDDED_BYTES_MAX);
  // Other bytes follow the description, which ends with the brace that makes it complete JSON.
  for (let to = text.indexOf("}"); to >= 0; to = text.indexOf("}", to + 1)) {
    try {
      const value = JSON.parse(text.slice(0, to + 1));
      return "permissions" in value && "v8_flags" in value ? value : undefined;
    } catch {
      // It is not complete yet.
    }
  }
  return undefined;
}

/** The description and where it begins; the files follow it. */
function findEmbedded(bytes: Buffer): { readonly found?: Embedded; readonly from: number } {
  for (let from = bytes.indexOf(START); from >= 0; from = bytes.indexOf(START, from + 1)) {
    const found = embeddedAt(bytes, from);
    if (found !== undefined) return { found, from };
  }
  return { from: 0 };
}

/** The expected content of a binary. */
export interface Expected {
  /** The flags that `deno compile` got. */
  readonly flags: readonly string[];
  /** Files whose text must be in it, by path. */
  readonly files: ReadonlyMap<string, string>;
}

const PERMISSIONS = ["net", "read", "write", "run", "env", "ffi", "sys"];

/** Everything that a binary lacks, and everything that it must not have. */
export function binaryProblems(binary: Uint8Array, { flags, files }: Expected): string[] {
  const bytes = Buffer.from(binary.buffer, binary.byteOffset, binary.byteLength);
  const { found, from } = findEmbedded(bytes);
  const problems = [...files].flatMap(([path, text]) =>
    bytes.includes(text, from) ? [] : [`${path} is not in it`]
  );
  if (found === undefined) return [...problems, "it does not say which flags it has"];
  const wanted_v8 = flags.flatMap((flag) => /^--v8-flags=(.*)$/.exec(flag)?.[1]?.split(",") ?? []);
  const unstable = flags.flatMap((flag) => /^--unstable-(.*)$/.exec(flag)?.[1] ?? []);
  const { v8_flags, permissions, unstable_config: { features } } = found;
  problems.push(
    ...wanted_v8.filter((flag) => !v8_flags.includes(flag)).map((flag) => `V8 lacks ${flag}`),
    ...unstable.filter((name) => !features.includes(name)).map((name) => `it lacks ${name}`),
  );
  for (const name of PERMISSIONS) {
    const flag = flags.find((one) => one.split("=")[0] === `--allow-${name}`);
    const has = permissions[`allow_${name}`] ?? null;
    if ((has !== null) !== (flag !== undefined)) {
      problems.push(`permission ${name}: ${has === null ? "missing" : "not wanted"}`);
    }
    // A list of places must not become `--allow-net` alone, which allows everything.
    const is_list = flag?.includes("=") === true;
    if (Array.isArray(has) && flag !== undefined && (has.length > 0) !== is_list) {
      problems.push(`permission ${name}: not as narrow as ${flag}`);
    }
  }
  if (permissions["prompt"] !== false) problems.push("it would ask for permissions");
  return problems;
}

/** What `deno task compile` was called with. Throws TypeError for what it does not know. */
export function compileArguments(args: string[]) {
  return parseArgs({
    args,
    options: {
      target: { type: "string", multiple: true, default: [] },
      out: { type: "string" },
      "require-runtime": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
}
