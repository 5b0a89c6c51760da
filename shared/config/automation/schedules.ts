/** `[schedules]`: messages that are published at a time; all is constant. A part of `../schema.ts`. */
import { z } from "zod";

/** `[schedules]`. */
export const Schedules = z.strictObject({});
