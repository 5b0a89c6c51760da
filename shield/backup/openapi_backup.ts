/** What the route of the admin API that hands out a backup says of itself. */
import { abouts } from "../openapi/openapi_parts.ts";

/** Routes of this part. */
export const BACKUP_ABOUT = abouts({
  downloadBackup: {
    tag: "backup",
    summary: "all that the embedded Spine keeps, at one moment, as arq backup writes it",
    answer: { type: "string", format: "binary" },
    type: "application/x-tar",
    refusals: [429, 503],
  },
});
