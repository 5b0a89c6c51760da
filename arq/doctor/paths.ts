/**
 * A finding of `arq doctor`: one sentence, how bad it is, and what to do about it; and findings about files and
 * folders that a configuration names.
 */
import { resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDiskFull } from "../../shared/spine/embedded/embedded_database.ts";
import { type Io, resolvePath } from "../terminal/io.ts";

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

/** A finding without a problem. */
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

/** A file of this size is written as a test: on a full disk an empty one can still be created. */
const PROBE_TEXT = "\n".repeat(262_144);
/** Name of the embedded Spine's database below `data_dir`. */
const DATABASE = "spine.sqlite";

/** The text of a file, or why it cannot be read. */
export type FileText = { readonly text: string } | { readonly problem: string };

/** Reads a file. A relative path begins where the server is started. */
export async function fileText(io: Io, path: string): Promise<FileText> {
  try {
    return { text: new TextDecoder().decode(await io.files.read(resolvePath(io.cwd, path))) };
  } catch (error) {
    return { problem: `${path} cannot be read: ${whyOf(error)}` };
  }
}

/** Advice for a relative path that does not exist. */
export const PATH_FIX = "relative paths are relative to the folder in which the server is started";

/** The finding about a private key, which only its owner may read. */
export async function privateFinding(io: Io, check: string, path: string): Promise<Finding> {
  const full = resolvePath(io.cwd, path);
  // A file that cannot be inspected counts as absent.
  const state = await io.files.state(full).catch(() => undefined);
  if (state === undefined) return fail(check, `${path} does not exist`, PATH_FIX);
  if (state.mode !== undefined && (state.mode & 0o077) !== 0) {
    const mode = state.mode.toString(8).padStart(4, "0");
    return fail(check, `others may read or write ${path} (mode ${mode})`, `chmod 600 ${full}`);
  }
  return ok(check, `${path} is for its owner only`);
}

/** Whether everybody may write a file, and so replace the key in it. */
export async function isWritableByAll(io: Io, path: string): Promise<boolean> {
  // Another finding is about a file that cannot be inspected.
  const state = await io.files.state(resolvePath(io.cwd, path)).catch(() => undefined);
  return state?.mode !== undefined && (state.mode & 0o002) !== 0;
}

async function writeProblem(io: Io, folder: string): Promise<string | undefined> {
  const probe = `${folder}/.arq-doctor-${crypto.randomUUID()}`;
  try {
    await io.files.create(probe, PROBE_TEXT, 0o600);
    return undefined;
  } catch (error) {
    return whyOf(error);
  } finally {
    // It may never have been created.
    await io.files.remove(probe).catch(() => {});
  }
}

/** True when another process has the database open. Only reads, and creates no database. */
function isLocked(path: string): boolean {
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.prepare("SELECT count(*) FROM sqlite_schema").get();
      return false;
    } finally {
      database.close();
    }
  } catch (error) {
    return /database is locked/.test(whyOf(error));
  }
}

/** The finding about `[server] data_dir`, or about the folder in which the first start creates it. */
export async function dataFinding(io: Io, data_dir: string | undefined): Promise<Finding> {
  const check = "data_dir";
  if (data_dir === undefined) {
    const fix = "set [server] data_dir to keep it";
    return warn(check, "none: room state and durable rooms are lost when the process ends", fix);
  }
  const folder = resolve(io.cwd, data_dir);
  let there = folder;
  let state = await io.files.state(there);
  while (state === undefined && there !== resolve(there, "..")) {
    there = resolve(there, "..");
    state = await io.files.state(there);
  }
  if (state?.is_directory !== true) {
    return fail(check, `${there} is not a folder`, "set [server] data_dir to a folder");
  }
  const problem = await writeProblem(io, there);
  if (problem !== undefined) {
    const fix = isDiskFull(problem)
      ? "free some space on its disk, or move the folder to a larger one: docs/storage.md"
      : "give this user the folder: chown, or set [server] data_dir to another";
    return fail(check, `${there} cannot be written: ${problem}`, fix);
  }
  const database = `${folder}/${DATABASE}`;
  if (await io.files.state(database) !== undefined && isLocked(database)) {
    return ok(check, `${folder} is in use by an ArqonBus that runs`);
  }
  return ok(check, there === folder ? `${folder} is writable` : `${folder} can be created`);
}
