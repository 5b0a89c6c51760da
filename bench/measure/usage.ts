/**
 * Reads the CPU time and memory of processes and all of their descendants from `/proc`. Deno may not read there, so a
 * shell does. Linux only.
 */
import { must, run } from "../../tasks/checkout/programs.ts";

/** The CPU time and memory of some processes until one moment. */
export interface Usage {
  /** User and system time of all threads, including ended ones, in steps of a clock tick (10 ms). */
  readonly cpu_seconds: number;
  /** CPU time of each living thread in ns, by the thread's id. */
  readonly threads_ns: ReadonlyMap<number, number>;
  /** The name of each living thread, by its id. */
  readonly thread_names: ReadonlyMap<number, string>;
  /** Resident memory, the sum over the processes (VmRSS). */
  readonly rss_bytes: number;
  /** `performance.now()` in the middle of the reading. */
  readonly at_ms: number;
}

/** The useful part of one line in `/proc/PID/stat`. */
interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly cpu_ticks: number;
}

/** `USER_HZ`, the same on every Linux that Deno runs on. */
const TICKS_PER_SECOND = 100;

/** Reads `pid (name) state ppid ... utime stime`. The name may contain anything. */
export function readStat(line: string): ProcessStat | undefined {
  const end = line.lastIndexOf(")");
  if (end < 0) return undefined;
  const fields = line.slice(end + 2).split(" ");
  const [parent, utime, stime] = [fields[1], fields[11], fields[12]].map(Number);
  const pid = Number.parseInt(line);
  if (![pid, parent, utime, stime].every(Number.isInteger)) return undefined;
  return { pid, parent: parent!, cpu_ticks: utime! + stime! };
}

/** The processes and all of their descendants, without duplicates. */
export function withDescendants(
  stats: readonly ProcessStat[],
  roots: readonly number[],
): ProcessStat[] {
  const wanted = new Set(roots);
  for (let before = -1; before !== wanted.size;) {
    before = wanted.size;
    for (const { pid, parent } of stats) if (wanted.has(parent)) wanted.add(pid);
  }
  return stats.filter(({ pid }) => wanted.has(pid));
}

/** Length of a tick in ns, for kernels without scheduling statistics. */
const TICK_NS = 1e9 / TICKS_PER_SECOND;

/**
 * CPU seconds between two readings of the same processes. It is a sum over threads, as a tick is too coarse for a
 * second or two. A thread that ended in between is excluded; these are idle threads of a pool.
 */
export function cpuSecondsBetween(before: Usage, after: Usage): number {
  let ns = 0;
  for (const [thread, now_ns] of after.threads_ns) {
    ns += now_ns - (before.threads_ns.get(thread) ?? 0);
  }
  return ns / 1e9;
}

/**
 * CPU seconds between two readings, by thread name: `deno` is the program's main thread, `worker-N` a Worker,
 * `V8 DefaultWorke` a compiler and GC thread of the engine.
 */
export function threadSecondsBetween(before: Usage, after: Usage): Map<string, number> {
  const seconds = new Map<string, number>();
  for (const [thread, now_ns] of after.threads_ns) {
    const name = after.thread_names.get(thread) ?? "";
    const ns = now_ns - (before.threads_ns.get(thread) ?? 0);
    seconds.set(name, (seconds.get(name) ?? 0) + ns / 1e9);
  }
  return seconds;
}

const SCRIPT = `cat /proc/[0-9]*/stat 2>/dev/null; echo; \
grep -H ^VmRSS /proc/[0-9]*/status 2>/dev/null; \
grep -H '' /proc/[0-9]*/task/[0-9]*/schedstat /proc/[0-9]*/task/[0-9]*/comm 2>/dev/null; true`;

interface Proc {
  readonly stats: readonly ProcessStat[];
  readonly rss: ReadonlyMap<number, number>;
  /** CPU time in ns, by process and then by thread. */
  readonly threads_ns: ReadonlyMap<number, ReadonlyMap<number, number>>;
  readonly thread_names: ReadonlyMap<number, string>;
}

function threadsOf(text: string): Map<number, Map<number, number>> {
  const threads = new Map<number, Map<number, number>>();
  const lines = /^\/proc\/(\d+)\/task\/(\d+)\/schedstat:(\d+) /gm;
  for (const [, pid, thread, ns] of text.matchAll(lines)) {
    const own = threads.get(Number(pid)) ?? new Map<number, number>();
    threads.set(Number(pid), own.set(Number(thread), Number(ns)));
  }
  return threads;
}

function namesOf(text: string): Map<number, string> {
  const lines = text.matchAll(/^\/proc\/\d+\/task\/(\d+)\/comm:(.*)$/gm);
  return new Map([...lines].map(([, thread, name = ""]) => [Number(thread), name]));
}

async function readProc(): Promise<Proc> {
  const { stdout: text } = await must("sh", ["-c", SCRIPT]);
  const rss = new Map<number, number>();
  for (const [, pid, kb] of text.matchAll(/^\/proc\/(\d+)\/status:VmRSS:\s*(\d+) kB$/gm)) {
    rss.set(Number(pid), Number(kb) * 1_024);
  }
  const stats = text.split("\n").map(readStat).filter((stat) => stat !== undefined);
  return { stats, rss, threads_ns: threadsOf(text), thread_names: namesOf(text) };
}

/** Reads several sets of processes at once. Rejects if one of the `roots` has ended. */
export async function usagesOf(sets: readonly (readonly number[])[]): Promise<Usage[]> {
  const before_ms = performance.now();
  const { stats, rss, threads_ns, thread_names } = await readProc();
  const at_ms = (before_ms + performance.now()) / 2;
  return sets.map((roots) => {
    const own = withDescendants(stats, roots);
    const gone = roots.filter((pid) => !own.some((one) => one.pid === pid));
    if (gone.length > 0) throw new Error(`processes ${gone.join(", ")} are not there any more`);
    return {
      cpu_seconds: own.reduce((sum, one) => sum + one.cpu_ticks, 0) / TICKS_PER_SECOND,
      threads_ns: new Map(own.flatMap(({ pid, cpu_ticks }) => [
        ...threads_ns.get(pid) ?? new Map([[pid, cpu_ticks * TICK_NS]]),
      ])),
      thread_names,
      rss_bytes: own.reduce((sum, { pid }) => sum + (rss.get(pid) ?? 0), 0),
      at_ms,
    };
  });
}

/**
 * Seconds for which the main thread of a process has waited for a core; undefined if the system does not provide them.
 */
export async function waitedSeconds(pid: number): Promise<number | undefined> {
  // A program reads the file, since Deno allows /proc only with all permissions.
  const ran = await run("cat", [`/proc/${pid}/schedstat`]);
  return ran?.ok === true ? Number(ran.stdout.split(" ")[1]) / 1e9 : undefined;
}
