/**
 * The machine: Deno, how many files a process may open, the clock. Rules are pure; `fileLimit` asks the
 * shell.
 */
import { OTHER_FILES } from "../../shared/process/asked_files.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { runShell } from "./shell.ts";

/** Older ones lack what the servers are started with. */
const OLDEST_DENO = "2.9.6";
/** Until here nobody notices. */
const CLOCK_WARN_MS = 2_000;
/** Nothing of this project is older. */
const OLDEST_NOW_MS = Date.UTC(2025, 0, 1);

/** Whether `have` is `oldest` or newer; both as "2.9.6". */
export function isAtLeast(have: string, oldest: string): boolean {
  const numbers = (text: string) =>
    (/^v?(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  const [mine, needed] = [numbers(have), numbers(oldest)];
  if (mine.length < 3) return false;
  const at = mine.findIndex((number, index) => number !== needed[index]);
  return at < 0 || (mine[at] ?? 0) > (needed[at] ?? 0);
}

/** The version of Deno that runs us and would run a server. */
export function denoFinding(version: string): Finding {
  return isAtLeast(version, OLDEST_DENO)
    ? ok("Deno", version)
    : fail("Deno", `${version} is too old`, `install ${OLDEST_DENO} or newer: deno upgrade`);
}

/** How many files a process started here may open; undefined when nobody says. */
export async function fileLimit(signal: AbortSignal): Promise<number | undefined> {
  // The shell has our limit, and Deno has raised that as far as it may, as it does for a server.
  const text = (await runShell("ulimit -n", signal))?.trim();
  if (text === "unlimited") return Infinity;
  const limit = Number(text);
  return text !== undefined && text !== "" && Number.isFinite(limit) ? limit : undefined;
}

/** `connections` is `[limits] connections_per_process`. */
export function fileLimitFinding(
  limit: number | undefined,
  connections: number,
  os: string,
): Finding {
  const check = "file limit";
  if (os === "windows") return ok(check, "Windows has none that matters");
  if (limit === undefined) {
    return warn(check, "it is not known", "look yourself: ulimit -n in the shell of the server");
  }
  const needed = connections + OTHER_FILES;
  if (limit >= needed) return ok(check, `${limit} open files, ${needed} are needed at most`);
  return fail(
    check,
    `a process may open ${limit} files; [limits] connections_per_process = ${connections} needs ${needed}`,
    `ulimit -n ${needed} (systemd: LimitNOFILE=${needed}; Docker: --ulimit nofile=${needed}), ` +
      "or lower connections_per_process",
  );
}

/** What a server said of the time, and when it was asked and answered by our clock. Unix ms. */
export interface TimeAnswer {
  /** Of its Date header, which has whole seconds. */
  readonly date_ms: number;
  readonly sent_ms: number;
  readonly received_ms: number;
  readonly server: string;
}

/** How far our clock is behind the server's, in ms; 0 when the answer allows that it is right. */
export function clockOffset_ms({ date_ms, sent_ms, received_ms }: TimeAnswer): number {
  const least = date_ms - received_ms;
  const most = date_ms + 1_000 - sent_ms;
  if (least > 0) return least;
  return most < 0 ? most : 0;
}

/** Compares the clock; without an answer it only sees whether the clock was ever set. */
export function clockFinding(
  now_ms: number,
  answer: TimeAnswer | undefined,
  skew_seconds: number,
): Finding {
  const fix = "let the system keep the time: timedatectl set-ntp true, or the system's settings";
  if (now_ms < OLDEST_NOW_MS) {
    return fail("clock", `it says ${new Date(now_ms).toISOString()}`, fix);
  }
  if (answer === undefined) return ok("clock", "set; no bus answers to compare it with");
  const offset_ms = clockOffset_ms(answer);
  const seconds = Math.abs(offset_ms / 1_000).toFixed(1);
  const text = `${seconds} s ${offset_ms > 0 ? "behind" : "ahead of"} that of ${answer.server}`;
  if (Math.abs(offset_ms) > skew_seconds * 1_000) {
    return fail("clock", `${text}; tokens are refused beyond ${skew_seconds} s`, fix);
  }
  if (Math.abs(offset_ms) > CLOCK_WARN_MS) return warn("clock", text, fix);
  return ok("clock", `agrees with ${answer.server}`);
}
