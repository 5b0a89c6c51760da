/** `[centrifugo]`: the endpoints for Centrifugo's client and server libraries. A part of `../schema.ts`. */
import { z } from "zod";
import { isRoomPattern } from "@arqon/proto";
import { id, roomPattern } from "../values/schema_values.ts";

const ApiKey = z.strictObject({
  tenant: id.describe("tenant whose rooms a backend with the key may use"),
  key_file: z.string().min(1).describe(
    "file with the key that backends send in X-API-Key, at least 16 characters; read at start and with each reload",
  ),
});

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
  join_leave: z.array(roomPattern).max(64).default([]).describe(
    "rooms whose subscribers receive joins and leaves, and are members, without asking for it",
  ),
  server_side: z.array(roomPattern).max(64).default([]).describe(
    "rooms to which tokens (channels, subs) and the server API subscribe clients",
  ),
  declared_namespaces: z.boolean().default(false).describe(
    "a channel NAME:… takes a room class whose pattern begins with NAME: (behind room_prefix)",
  ),
  api_keys: z.array(ApiKey).max(1_000).default([]).describe(
    "who may ask Centrifugo's server API at /api of the client listener",
  ),
});
/** `[centrifugo]`. */
export type Centrifugo = z.output<typeof Centrifugo>;
