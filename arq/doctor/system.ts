/**
 * Findings about the machine: Deno, the number of files that a process may open, ports and the clock; and shell
 * commands for facts that Deno cannot provide.
 */
import { clockOffset_ms, type TimeAnswer } from "../bus/admin.ts";
import { isAtLeast, MADE_FOR_DENO } from "../../shared/deno_versions.ts";
import { startChild } from "../../shared/process/deno_command.ts";
import { OTHER_FILES } from "../../shared/process/asked_files.ts";
import { fail, type Finding, ok, warn, whyOf } from "./paths.ts";
import { isArqon, type Place, sharedText, sharedWith } from "../../shared/listeners/port_check.ts";
import { time } from "../answers/figures.ts";

const SHELL_MS = 5_000;

/** The output of a command; undefined when there is no shell, or when the command is not allowed or fails. */
export async function runShell(command: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { success, stdout } = await startChild("sh", {
      args: ["-c", command],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.any([signal, AbortSignal.timeout(SHELL_MS)]),
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    return undefined;
  }
}

/** Smaller differences are not worth a warning. */
const CLOCK_WARN_MS = 2_000;
/** Nothing of this project is older, so an earlier clock was never set. */
const OLDEST_NOW_MS = Date.UTC(2025, 0, 1);

/** The finding about the version of Deno, which would also run a server. */
export function denoFinding(version: string): Finding {
  return isAtLeast(version, MADE_FOR_DENO)
    ? ok("Deno", version)
    : fail("Deno", `${version} is too old`, `install ${MADE_FOR_DENO} or newer: deno upgrade`);
}

/** The number of files that a process started here may open; undefined when the shell does not tell. */
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
  if (os === "windows") return ok(check, "Windows has no relevant limit");
  if (limit === undefined) {
    return warn(check, "it is not known", "check manually: ulimit -n in the shell of the server");
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

/** The finding about the clock, compared with a server's, or else with the oldest plausible time. */
export function clockFinding(
  now_ms: number,
  answer: TimeAnswer | undefined,
  skew_seconds: number,
): Finding {
  const fix = "synchronize the clock: timedatectl set-ntp true, or the system's settings";
  if (now_ms < OLDEST_NOW_MS) {
    return fail("clock", `it says ${time(now_ms)}`, fix);
  }
  if (answer === undefined) return ok("clock", "set; no bus answers to compare it with");
  const offset_ms = clockOffset_ms(answer);
  const seconds = Math.abs(offset_ms / 1_000).toFixed(1);
  const side = offset_ms > 0 ? "behind" : "ahead of";
  const text = `${seconds} s ${side} the clock of ${answer.server}`;
  if (Math.abs(offset_ms) > skew_seconds * 1_000) {
    return fail("clock", `${text}; tokens are refused above ${skew_seconds} s`, fix);
  }
  if (Math.abs(offset_ms) > CLOCK_WARN_MS) return warn("clock", text, fix);
  return ok("clock", `agrees with ${answer.server}`);
}

/** The program in the output of `lsof -Fpc`: "node (pid 12)". */
export function lsofOwner(text: string): string | undefined {
  const pid = /^p(\d+)$/m.exec(text)?.[1];
  const name = /^c(.+)$/m.exec(text)?.[1];
  return pid === undefined ? undefined : `${name ?? "a program"} (pid ${pid})`;
}

/** The program in the output of `ss -ltnpH`. */
export function ssOwner(text: string): string | undefined {
  const [, name, pid] = /users:\(\("([^"]*)",pid=(\d+)/.exec(text) ?? [];
  return pid === undefined ? undefined : `${name} (pid ${pid})`;
}

/** The program that listens on a port; undefined when the system does not tell. */
async function ownerOf(port: number, signal: AbortSignal): Promise<string | undefined> {
  // Linux has ss. macOS has only lsof, which takes seconds on some machines.
  const ss = await runShell(`exec ss -ltnpH 'sport = :${port}'`, signal);
  const owner = ss === undefined ? undefined : ssOwner(ss);
  if (owner !== undefined) return owner;
  const lsof = await runShell(`exec lsof -nP -iTCP:${port} -sTCP:LISTEN -Fpc`, signal);
  return lsof === undefined ? undefined : lsofOwner(lsof);
}

/** The finding about a port, which is opened for a moment; `places` are all configured listeners. */
export async function portFinding(
  place: Place,
  signal: AbortSignal,
  places: readonly Place[] = [place],
): Promise<Finding> {
  const { name, table, host, port } = place;
  const check = `${name} port`;
  const other = sharedWith(place, places);
  if (other !== undefined) {
    return fail(check, sharedText(place, other), `set [${table}] port to another one`);
  }
  const where = `${host}:${port}`;
  try {
    Deno.listen({ hostname: host, port }).close();
    return ok(check, `${where} is free`);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      if (await isArqon(place)) return ok(check, `an ArqonBus serves on ${where}`);
      const owner = await ownerOf(port, signal) ?? "another program";
      return fail(check, `${where} is in use by ${owner}`, `stop it, or set [${table}] port`);
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      const fix = `use one from 1024 on: [${table}] port`;
      return fail(check, `${where} may not be opened by this user`, fix);
    }
    const fix = `set [${table}] host to an address of this machine, 127.0.0.1 or 0.0.0.0`;
    return fail(check, `${where} cannot be opened: ${whyOf(error)}`, fix);
  }
}
