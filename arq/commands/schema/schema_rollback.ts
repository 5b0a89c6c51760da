/** `arq schema rollback`: registers an earlier version of a schema again, as its next version. */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import type { ConnectionFlags } from "../../bus/target.ts";

/** The options of `arq schema rollback`. */
export interface RollbackFlags extends ConnectionFlags {
  /** Absent: the version before the one in force. */
  readonly to?: number;
  readonly json?: boolean;
}

/** Rolls a schema back. Says the new version's number and which version has the same bytes. */
export async function schemaRollback(
  io: Io,
  schema_id: string,
  flags: RollbackFlags,
): Promise<number> {
  const admin = await findAdmin(io, flags);
  const query = flags.to === undefined ? "" : `?version=${flags.to}`;
  const path = `/v1/schemas/${encodeURIComponent(schema_id)}/rollback${query}`;
  const answer = await askAdmin(io, admin, { method: "POST", path });
  const { registered, version, restores } = answer;
  const text = registered === true
    ? `${schema_id} version ${version}: what version ${restores} held is in force again`
    : `${schema_id}: version ${version} holds that already; nothing was changed`;
  await print(
    io.stdout,
    flags.json === true ? `${JSON.stringify(answer)}\n` : printable(text) + "\n",
  );
  return EXIT.ok;
}
