/**
 * Which cores the load and which the target may use, so that they do not take each other's: pinned
 * where there are enough, else the load is nice to the target. Linux's `taskset`.
 */

/** Fewer, and a half is no machine. */
const PINNED_CORES_MIN = 4;
const NICENESS = 5;

/** Who runs where. */
export interface Placement {
  /** For people. */
  readonly how: string;
  /** Stands before the command of a load process. */
  readonly load: readonly string[];
  /** `taskset -c` list of the target's cores; undefined: any. */
  readonly target_cores: string | undefined;
}

/** The upper half of the cores is for the load. Pure. */
export function placementOf(cores: number, has_taskset: boolean): Placement {
  if (!has_taskset || cores < PINNED_CORES_MIN) {
    const how = `not pinned (${cores} cores), load at nice ${NICENESS}`;
    return { how, load: ["nice", "-n", `${NICENESS}`], target_cores: undefined };
  }
  const first = cores >> 1;
  const [target, load] = [`0-${first - 1}`, `${first}-${cores - 1}`];
  const how = `pinned: target to cores ${target}, load to ${load}`;
  return { how, load: ["taskset", "-c", load], target_cores: target };
}

async function works(command: string, ...args: string[]): Promise<boolean> {
  try {
    const options = { args, stdin: "null", stdout: "null", stderr: "null" } as const;
    return (await new Deno.Command(command, options).output()).success;
  } catch {
    return false;
  }
}

/** For this machine. */
export async function placement(): Promise<Placement> {
  return placementOf(navigator.hardwareConcurrency, await works("taskset", "-p", `${Deno.pid}`));
}

/** Moves all threads of the processes to the target's cores. */
export async function place(pids: readonly number[], { target_cores }: Placement): Promise<void> {
  if (target_cores === undefined) return;
  await Promise.all(pids.map((pid) => works("taskset", "-acp", target_cores, `${pid}`)));
}
