/** `[growing]`: messages that grow before they are stored. A part of `../schema.ts`. */
import { z } from "zod";
import { count } from "../values/schema_values.ts";

/** `[growing]`. */
export const Growing = z.strictObject({
  message_bytes: count(65_536, 196_608, "bytes of UTF-8 that one message may grow to"),
  idle_ms: z.int().min(2_000).max(100_000).default(60_000).describe(
    "a message without an addition for this long is abandoned and ends as it is",
  ),
});
/** A checked `[growing]`. */
export type Growing = z.output<typeof Growing>;
