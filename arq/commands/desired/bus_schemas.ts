/**
 * The schemas of a folder of the whole bus, put in force in one step: they are nobody's but the bus's, so no tenant's
 * step carries them. Those of one tenant's folder are part of its step (`apply.ts`).
 */
import { askAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { Desired } from "../../desired/state.ts";
import type { Io } from "../../terminal/io.ts";
import { stageSchemas } from "./apply.ts";
import type { Compared } from "./plan.ts";

/** Stores those that change and puts them in force. Resolves with the id of the apply. Rejects as `askAdmin` does. */
export async function applySchemas(
  io: Io,
  admin: Admin,
  desired: Desired,
  compared: Compared,
): Promise<string> {
  const schemas = await stageSchemas(io, admin, desired, compared);
  const body = JSON.stringify({ schemas });
  const { apply } = await askAdmin(io, admin, { method: "PUT", path: "/v1/state", body });
  return String(apply);
}
