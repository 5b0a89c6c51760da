/** The command line of a bus that runs in a process of its own: its flags and permissions. Pure. */
import { SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import type { DevBusOptions } from "./dev_bus.ts";

/** Files and folders that a bus reads and writes. Paths are absolute, without a slash at the end. */
export interface BusPlaces extends Pick<DevBusOptions, "state_dir" | "data_dir" | "config_file"> {
  /** Folder of our sources, where the policies' threads and the console are read. */
  readonly root: string;
}

/**
 * The flags of `deno run` for a bus, with no more permissions than it needs: the network, our sources to read,
 * its own state to write, and `commands` to run. New policies are first compiled in a child process of `deno`.
 */
export function busFlags(
  { root, state_dir, data_dir, config_file }: BusPlaces,
  commands: readonly string[],
): string[] {
  const write = [state_dir, ...(data_dir === undefined ? [] : [data_dir])];
  // A configuration may name key and certificate files anywhere, so with one all files may be read.
  const read = config_file === undefined
    ? `--allow-read=${[root, ...write].join(",")}`
    : "--allow-read";
  return [
    ...SERVER_FLAGS,
    `--allow-run=${commands.join(",")}`,
    "--allow-net",
    // For the free space of a disk, which a full disk's error tells.
    "--allow-sys=statfs",
    // Packages read variables while they load, and find none.
    "--ignore-env",
    read,
    `--allow-write=${write.join(",")}`,
  ];
}
