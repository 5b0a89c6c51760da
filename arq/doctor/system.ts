/**
 * Findings about the machine: Deno, the number of files that a process may open, and the clock. Pure, except
 * that `fileLimit` asks the shell.
 */
import { clockOffset_ms, type TimeAnswer } from "../bus/bus_clock.ts";
import { isAtLeast, MADE_FOR_DENO } from "../../shared/deno_versions.ts";
import { OTHER_FILES } from "../../shared/process/asked_files.ts";
import { fail, ok, warn } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { runShell } from "./shell.ts";

/** Below this nobody notices a wrong clock. */
const CLOCK_WARN_MS = 2_000;
/** Nothing of this project is older, so a clock before it was never set. */
const OLDEST_NOW_MS = Date.UTC(2025, 0, 1);

/** The finding about the version of Deno, which runs us and would run a server. */
export function denoFinding(version: string): Finding {
  return isAtLeast(version, MADE_FOR_DENO)
    ? ok("Deno", version)
    : fail("Deno", `${version} is too old`, `install ${MADE_FOR_DENO} or newer: deno upgrade`);
}

/** The number of files that a process started here may open; undefined when the shell does not say. */
export async function fileLimit(signal: AbortSignal): Promise<number | undefined> {
  // The shell inherits our limit, which Deno has raised as far as possible, as it does for a server.
  const text = (await runShell("ulimit -n", signal))?.trim();
  if (text === "unlimited") return Infinity;
  const limit = Number(text);
  return text !== undefined && text !== "" && Number.isFinite(limit) ? limit : undefined;
}

/** The finding about the number of files; `connections` is `[limits] connections_per_process`. */
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

/**
 * The finding about the clock, compared with a server's. Without an answer it only shows a clock that was
 * never set.
 */
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
