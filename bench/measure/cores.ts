/**
 * The cores of the load and the target, so that they do not compete. They are pinned if there are enough cores,
 * otherwise the load has a higher niceness than the target. Uses Linux's `taskset`.
 */
import { run } from "../../tasks/checkout/programs.ts";

/** Minimum number of cores for pinning; with fewer, half of the machine is too little for either. */
const PINNED_CORES_MIN = 4;
const NICENESS = 5;

/** The cores of load and target. */
export interface Placement {
  /** The placement in words, for people. */
  readonly how: string;
  /** Words before the command of a load process. */
  readonly load: readonly string[];
  /** The target's cores in the form of `taskset -c`; undefined: any core. */
  readonly target_cores: string | undefined;
}

/** The placement for this number of cores. The upper half of them is for the load. Pure. */
function placementOf(cores: number, has_taskset: boolean): Placement {
  if (!has_taskset || cores < PINNED_CORES_MIN) {
    const how = `not pinned (${cores} cores), load at nice ${NICENESS}`;
    return { how, load: ["nice", "-n", `${NICENESS}`], target_cores: undefined };
  }
  const first = cores >> 1;
  const target = `0-${first - 1}`;
  const load = `${first}-${cores - 1}`;
  const how = `pinned: target to cores ${target}, load to ${load}`;
  return { how, load: ["taskset", "-c", load], target_cores: target };
}

const works = async (...args: string[]) => (await run("taskset", args))?.ok === true;

/** The placement for this machine. */
export async function placement(): Promise<Placement> {
  return placementOf(navigator.hardwareConcurrency, await works("-p", `${Deno.pid}`));
}

/** Moves all threads of the processes to the target's cores. */
export async function place(pids: readonly number[], { target_cores }: Placement): Promise<void> {
  if (target_cores === undefined) return;
  await Promise.all(pids.map((pid) => works("-acp", target_cores, `${pid}`)));
}
