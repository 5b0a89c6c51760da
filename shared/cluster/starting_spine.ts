/** The Spine of a process that starts: opened with more patience, and of a version that the process can use. */
import type { Env } from "../env.ts";
import { spinePhase, type Starting } from "../listeners/starting.ts";
import { openSpine, type SpineConfig } from "../spine/open.ts";
import type { Spine } from "../spine/contract/spine.ts";
import { requireVersions } from "./wire_version.ts";

/** The process, and what it reads its files with. */
interface StartingSpine extends Pick<Env, "log" | "now"> {
  readonly starting: Starting;
  readonly node_id: string;
  readonly kind: "shield" | "brain";
  readonly read: (path: string) => string;
}

/** Rejects as `openSpine` and `requireVersions`. */
export async function openStartingSpine(
  config: SpineConfig,
  { starting, node_id, kind, log, now, read }: StartingSpine,
): Promise<Spine> {
  starting.begin(spinePhase(config));
  const spine = await openSpine(config, {
    log,
    now,
    files: { read },
    isStarting: starting.isGoingOn,
  });
  starting.begin("reading the versions of the storage and the cluster");
  await requireVersions(config, { spine, node_id, kind });
  return spine;
}
