/**
 * How many connections a process can hold on this machine, and what has to be changed for more. Pure, except for
 * `fileLimit`.
 */

/** Open files of a Shield or client process that are not client connections. */
const OWN_FILES = 500;

/** The hard limit of open files for processes started here; Deno raises the soft one to it. */
export async function fileLimit(): Promise<number> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", "ulimit -Hn"] }).output();
  const text = new TextDecoder().decode(stdout).trim();
  return text === "unlimited" ? Infinity : Number(text);
}

/** How connections are spread over processes. */
export interface Spread {
  /** Connections per process. */
  readonly each: number;
  /** Why they do not fit; undefined if they do. */
  readonly problem: string | undefined;
}

/** `limit`: open files per process. */
export function spreadOver(connections: number, processes: number, limit: number): Spread {
  const each = Math.ceil(connections / processes);
  if (each + OWN_FILES <= limit) return { each, problem: undefined };
  const enough = Math.ceil(connections / Math.max(1, limit - OWN_FILES));
  return {
    each,
    problem: `${connections} connections over ${processes} processes are ${each} each, and a ` +
      `process may open ${limit} files here: run with --processes ${enough} or more, or raise the ` +
      `hard limit to at least ${each + OWN_FILES} (ulimit -Hn, LimitNOFILE= of systemd, ` +
      `"nofile" of a container)`,
  };
}
