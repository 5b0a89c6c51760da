/** The backup capability of a Shield, for the embedded Spine. */
import type { Capability } from "../capability.ts";
import { BACKUP_ROUTES, openBackups } from "./backup_api.ts";

/** The capability, for a Shield's list. */
export const BACKUP: Capability = {
  name: "backup",
  title: "backups of an embedded bus",
  admin: { tables: [BACKUP_ROUTES], tags: { backup: "backups of an embedded bus" } },
  start: (env, { node_id }) => ({ routes: BACKUP_ROUTES.serve(openBackups({ ...env, node_id })) }),
};
