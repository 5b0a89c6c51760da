/**
 * `arq policy logs -f`: what a tenant's policies log from now on, on the node that answers. The bus
 * keeps no lines for this; its own log does.
 */
import { findAdmin, follow, streamAdmin } from "../admin.ts";
import { EXIT, usageError } from "../exit.ts";
import { print } from "../io.ts";
import type { Io } from "../io.ts";
import { readNdjson } from "../ndjson.ts";
import { logLine } from "../policy_text.ts";
import type { ConnectionFlags } from "../target.ts";

/** The command's options. */
export interface LogsFlags extends ConnectionFlags {
  readonly tenant: string;
  readonly follow?: boolean;
  /** End after so many lines. */
  readonly count?: number;
  readonly json?: boolean;
}

/** Prints lines until `--count` is reached or Ctrl-C. */
export async function policyLogs(io: Io, flags: LogsFlags): Promise<number> {
  if (flags.follow !== true) {
    throw usageError(
      "the bus keeps no lines: it has none to show",
      "-f follows them from now on; the bus's own log has those of before",
    );
  }
  const admin = await findAdmin(io, flags);
  const query = new URLSearchParams({ tenant: flags.tenant });
  const stream = await streamAdmin(io, admin, `/v1/policies/logs?${query}`);
  await print(io.stderr, `Following the policies of tenant ${flags.tenant}\n`);
  let left = flags.count ?? Infinity;
  await follow(io, admin, async () => {
    for await (const { bytes } of readNdjson(stream, admin.admin_url)) {
      const line = new TextDecoder().decode(bytes);
      await print(io.stdout, flags.json === true ? `${line}\n` : logLine(JSON.parse(line)));
      if (--left === 0) return true;
    }
    return false;
  });
  return EXIT.ok;
}
