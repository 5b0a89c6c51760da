/** `[growing]`: messages that grow before they are stored. A part of `../schema.ts`. */
import { z } from "zod";
import { count } from "../values/schema_values.ts";

/** `[growing]`. */
export const Growing = z.strictObject({
  message_bytes: count(65_536, 196_608, "bytes of UTF-8 that one message may grow to"),
});
/** A checked `[growing]`. */
export type Growing = z.output<typeof Growing>;
