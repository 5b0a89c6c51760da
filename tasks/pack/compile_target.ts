/**
 * Targets of `deno task compile` and what is in a binary of Deno's: which flags and permissions it
 * carries, read from its own bytes. Pure.
 */
import { Buffer } from "node:buffer";

/** What a release has. */
export const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "aarch64-apple-darwin",
  "x86_64-apple-darwin",
  "x86_64-pc-windows-msvc",
] as const;

/** One of them. */
export type Target = (typeof TARGETS)[number];

/** Whether a word is a target. */
export function isTarget(word: string): word is Target {
  return (TARGETS as readonly string[]).includes(word);
}

/** Name of a program's file there. */
export function programFile(name: string, target: Target): string {
  return target.includes("windows") ? `${name}.exe` : name;
}

/**
 * What `deno compile` gets for a program whose task has these flags: the same, but for the children.
 * The program starts itself, for trial compilations and more Shields; where it will be is not known,
 * and Deno has no word for "this program" in a permission.
 */
export function compileFlags(task_flags: readonly string[]): string[] {
  return task_flags.map((flag) => flag.startsWith("--allow-run=") ? "--allow-run" : flag);
}

/** What a compiled program says of itself, as far as it is looked at. */
interface Embedded {
  readonly v8_flags: readonly string[];
  /** By `allow_read` and so on: null for nothing, an empty list for everything. */
  readonly permissions: Readonly<Record<string, readonly string[] | null | boolean>>;
  readonly unstable_config: { readonly features: readonly string[] };
}

const START = '{"argv":[';
/** More is no description of a program. */
const EMBEDDED_BYTES_MAX = 1_000_000;

function embeddedAt(bytes: Buffer, from: number): Embedded | undefined {
  const text = bytes.toString("latin1", from, from + EMBEDDED_BYTES_MAX);
  // Other bytes follow: it ends with the brace that makes it whole.
  for (let to = text.indexOf("}"); to >= 0; to = text.indexOf("}", to + 1)) {
    try {
      const value = JSON.parse(text.slice(0, to + 1));
      return "permissions" in value && "v8_flags" in value ? value : undefined;
    } catch {
      // Not whole yet.
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

/** A program that has to be in a binary. */
export interface Expected {
  /** As `deno compile` got them. */
  readonly flags: readonly string[];
  /** Files whose text has to be there, by path. */
  readonly files: ReadonlyMap<string, string>;
}

const PERMISSIONS = ["net", "read", "write", "run", "env", "ffi", "sys"];

/** Everything that a binary lacks or has too much of. */
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
    // `--allow-net` alone is everything, which a list of places must not become.
    const is_list = flag?.includes("=") === true;
    if (Array.isArray(has) && flag !== undefined && (has.length > 0) !== is_list) {
      problems.push(`permission ${name}: not as narrow as ${flag}`);
    }
  }
  if (permissions["prompt"] !== false) problems.push("it would ask for permissions");
  return problems;
}
