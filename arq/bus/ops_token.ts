/**
 * The token of an ops listener that asks for one: from `--ops-token-file`, else from the file that the
 * context names.
 */
import { CommandError, EXIT } from "../terminal/exit.ts";
import { resolvePath } from "../terminal/io.ts";
import type { Io } from "../terminal/io.ts";
import type { Target } from "./target.ts";
import type { Flags } from "../program/flags.ts";

/**
 * The text of the ops token; undefined when no file is named. Throws when the file cannot be read or is
 * empty.
 */
export async function opsToken(
  io: Io,
  { opsTokenFile }: Flags,
  target: Pick<Target, "context"> | undefined,
): Promise<string | undefined> {
  const path = opsTokenFile === undefined
    ? target?.context?.ops_token_file
    : resolvePath(io.cwd, opsTokenFile);
  if (path === undefined) return undefined;
  const hint = "it holds the token of [ops] token_file";
  let token: string;
  try {
    token = new TextDecoder().decode(await io.files.read(path)).trim();
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new CommandError(`cannot read ${path}: ${why}`, EXIT.refused, hint);
  }
  // Other characters could not be sent in a header.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CommandError(`${path} holds no token`, EXIT.refused, hint);
}
