/**
 * `arq config show|reload`: which configuration is in force in the processes of a bus, and their files read
 * again. What a file may say is `arq config check` and `explain`, which ask no bus.
 */
import { configText, isTaken } from "../../answers/config_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { EXIT } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** The options of `arq config show` and `arq config reload`. */
export interface LiveConfigFlags extends ConnectionFlags {
  /** Only this process; absent: all. */
  readonly node?: string;
  readonly json?: boolean;
}

type Answer = Record<string, unknown>;

async function tell(
  io: Io,
  answer: Answer,
  { json }: LiveConfigFlags,
  has_values: boolean,
): Promise<void> {
  const text = json === true ? `${JSON.stringify(answer)}\n` : configText(answer, has_values);
  await print(io.stdout, text);
}

/** Prints what is in force in each process. Throws as `askAdmin` does. */
export async function showConfig(io: Io, flags: LiveConfigFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const query = flags.node === undefined ? "" : `?${new URLSearchParams({ node: flags.node })}`;
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/config${query}` });
  await tell(io, answer, flags, true);
  return EXIT.ok;
}

/**
 * Has the processes read their files again, and prints what that has changed. Returns 1 when a file is refused
 * or a process does not answer. Throws as `askAdmin` does.
 */
export async function reloadConfig(io: Io, flags: LiveConfigFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const body = JSON.stringify(flags.node === undefined ? {} : { node_id: flags.node });
  const answer = await askAdmin(io, admin, { method: "POST", path: "/v1/config/reload", body });
  await tell(io, answer, flags, false);
  return isTaken(answer) ? EXIT.ok : EXIT.failure;
}
