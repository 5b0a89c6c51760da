/** The mirror capability of a Shield. */
import type { Capability } from "../capability.ts";
import { MIRROR_ROUTES } from "./admin_api.ts";
import { type StartedMirror, startMirror } from "./mirror.ts";

/** Copies of traffic. */
export const MIRROR: Capability<StartedMirror> = {
  name: "mirror",
  title: "copies of traffic",
  tenant: ["mirror"],
  off: ({ platform }) => platform.mirroring.enabled ? undefined : "platform.mirroring",
  admin: { tables: [MIRROR_ROUTES], tags: { mirror: "copies of traffic" } },
  open(env, { settings, node_id }) {
    const mirroring = startMirror({ ...env, settings, node_id });
    return {
      own: mirroring,
      gives: { candidates: mirroring.candidates },
      observer: mirroring.mirror,
      start: () => ({
        routes: MIRROR_ROUTES.serve(mirroring.admin),
        follow: mirroring.follow,
        forgets: mirroring.forgets,
      }),
      close: mirroring.close,
    };
  },
};
