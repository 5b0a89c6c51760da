/** The command line of a bus that is started as a process of its own: flags and permissions. Pure. */
import { SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import type { DevBusOptions } from "./dev_bus.ts";

/** The places that a bus reads and writes. Paths are absolute, without a slash at the end. */
export interface BusPlaces extends Pick<DevBusOptions, "state_dir" | "data_dir" | "config_file"> {
  /** Of our sources: policies' threads and the console are read from there. */
  readonly root: string;
}

/**
 * What `deno run` gets before the program: no more than the bus needs, which is the network, our
 * sources to read, its own state to write, and `commands` to start. New policies are first compiled in
 * a child process of `deno`.
 */
export function busFlags(
  { root, state_dir, data_dir, config_file }: BusPlaces,
  commands: readonly string[],
): string[] {
  const write = [state_dir, ...(data_dir === undefined ? [] : [data_dir])];
  // A config names key and certificate files anywhere, so that with one all files may be read.
  const read = config_file === undefined
    ? `--allow-read=${[root, ...write].join(",")}`
    : "--allow-read";
  return [
    ...SERVER_FLAGS,
    `--allow-run=${commands.join(",")}`,
    "--allow-net",
    // How much room a disk has, for who finds it full.
    "--allow-sys=statfs",
    // Packages look for variables as they load, and find none.
    "--ignore-env",
    read,
    `--allow-write=${write.join(",")}`,
  ];
}
