/** `[centrifugo]`: the endpoint for Centrifugo's client libraries. A part of `../schema.ts`. */
import { z } from "zod";
import { isRoomPattern } from "@arqon/proto";
import { roomPattern } from "../values/schema_values.ts";

/** `[centrifugo]`. */
export const Centrifugo = z.strictObject({
  enabled: z.boolean().default(false).describe(
    "answer Centrifugo's client libraries at /connection/… and /emulation of the client listener",
  ),
  room_prefix: z.string().max(32).default("").refine((text) => isRoomPattern(`${text}*`), {
    error: "expected at most 32 of [A-Za-z0-9_~:=-]",
  }).describe("prefix of a channel's room id; empty: a channel is the room of its name"),
  presence: z.array(roomPattern).max(64).default([]).describe(
    "rooms whose subscribers are members; who asks for join and leave is one in any room",
  ),
});
/** A checked `[centrifugo]`. */
export type Centrifugo = z.output<typeof Centrifugo>;
