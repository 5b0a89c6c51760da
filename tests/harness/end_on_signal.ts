/**
 * Ends a long-running task that alone receives SIGINT or SIGTERM: it ends every process below it, then itself. A Ctrl-C
 * in a terminal reaches all of them; a supervisor, CI or `kill` does not. Files are kept, as after any kill, for their
 * logs. Not for servers, which drain (`shared/process/process.ts`), and not for tests, which end what they start.
 */

/** Exit codes as in a shell: 128 plus the number of the signal. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;
/** Time for killed processes to disappear; the kernel frees their memory meanwhile. */
const GONE_MS = 5_000;
const POLL_MS = 10;
/** On Linux without `ps`, which not every container has; the command's name may have any characters. */
const LIST = Deno.build.os === "linux"
  ? String
    .raw`cat /proc/[0-9]*/stat 2>/dev/null | sed -n 's/^\([0-9]*\) (.*) \(.\) \([0-9]*\) .*/\1 \3 \2/p'`
  : "ps -A -o pid=,ppid=,state=";

/** A running process. */
interface Listed {
  readonly pid: number;
  readonly parent: number;
}

/** Every process of this machine except zombies. */
function processes(): Listed[] {
  const { stdout } = new Deno.Command("sh", { args: ["-c", LIST], stderr: "null" }).outputSync();
  return new TextDecoder().decode(stdout).split("\n").flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/);
    return state === undefined || state.startsWith("Z")
      ? []
      : [{ pid: Number(pid), parent: Number(parent) }];
  });
}

/** Ids of all processes that a process has started, and of theirs, parents first. */
export function processesBelow(root: number): number[] {
  const all = processes();
  const found: number[] = [];
  for (let parents = [root]; parents.length > 0;) {
    parents = all.flatMap(({ pid, parent }) => parents.includes(parent) ? [pid] : []);
    found.push(...parents);
  }
  return found;
}

/** Those that still run. */
export function stillRunning(pids: readonly number[]): number[] {
  const all = new Set(processes().map(({ pid }) => pid));
  return pids.filter((pid) => all.has(pid));
}

/** False when it has already ended. */
function kill(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Ends everything below this process. It is synchronous, so that this process cannot start anything meanwhile; nor can
 * stopped processes, so they are stopped first.
 */
function endAll(): void {
  const stopped = new Set<number>();
  for (let found = 1; found > 0;) {
    const more = processesBelow(Deno.pid).filter((pid) => !stopped.has(pid));
    // The listing process was one of them, and has ended.
    const there = more.filter((pid) => kill(pid, "SIGSTOP"));
    for (const pid of there) stopped.add(pid);
    found = there.length;
  }
  const all = [...stopped];
  for (const pid of all) kill(pid, "SIGKILL");
  const never = new Int32Array(new SharedArrayBuffer(4));
  const deadline_ms = performance.now() + GONE_MS;
  while (stillRunning(all).length > 0 && performance.now() < deadline_ms) {
    Atomics.wait(never, 0, 0, POLL_MS);
  }
}

/** From now on, SIGINT and SIGTERM end everything that this process has started, and itself with 130 or 143. */
export function endOnSignal(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      endAll();
      Deno.exit(SIGNALS[signal]);
    });
  }
}
