/** `[schedules]`: messages that are published at a set time; all values are constants. A part of `../schema.ts`. */
import { z } from "zod";

/** `[schedules]`. */
export const Schedules = z.strictObject({});
