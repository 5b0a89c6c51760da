/**
 * `arq policy logs`: prints what a tenant's policies have logged on the node that answers, or log from now
 * on. The node remembers only the last lines; the bus's own log keeps all of them.
 */
import { findAdmin, follow, streamAdmin } from "../../bus/admin.ts";
import { EXIT } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { readNdjson } from "../../terminal/ndjson.ts";
import { logLine } from "../../answers/policy_text.ts";
import type { Flags } from "../../program/flags.ts";

/** Prints the lines that the node remembers, or follows the log until `--count` is reached or Ctrl-C. */
export async function policyLogs(io: Io, flags: Flags<"tenant">): Promise<number> {
  const admin = await findAdmin(io, flags);
  const text = (line: string) => flags.json === true ? `${line}\n` : logLine(JSON.parse(line));
  const stream = (follow: boolean) => {
    const query = new URLSearchParams({ tenant: flags.tenant, follow: String(follow) });
    return streamAdmin(io, admin, `/v1/policies/logs?${query}`);
  };
  if (flags.follow !== true) {
    const lines: string[] = [];
    for await (const { bytes } of readNdjson(await stream(false), admin.admin_url)) {
      lines.push(new TextDecoder().decode(bytes));
    }
    const last = lines.slice(-(flags.count ?? lines.length));
    if (last.length === 0) {
      const none = `the policies of tenant ${flags.tenant} have logged nothing on this node`;
      await print(io.stderr, `${none} since it started\n`);
    }
    await print(io.stdout, last.map(text).join(""));
    return EXIT.ok;
  }
  const followed = await stream(true);
  await print(io.stderr, `Following the policies of tenant ${flags.tenant}\n`);
  let left = flags.count ?? Infinity;
  await follow(io, admin, async () => {
    for await (const { bytes } of readNdjson(followed, admin.admin_url)) {
      await print(io.stdout, text(new TextDecoder().decode(bytes)));
      if (--left === 0) return true;
    }
    return false;
  });
  return EXIT.ok;
}
