/** `[pusher]` and `[centrifugo]`: endpoints for clients and backends of these protocols. A part of `../schema.ts`. */
import { z } from "zod";
import { isRoomPattern } from "@arqon/proto";
import { always, id, refuseRepeated, roomPattern } from "../values/schema_values.ts";

/** The shortest secret of an app. */
export const SECRET_CHARS_MIN = 16;

const App = z.strictObject({
  id: id.describe("the id in the paths of the HTTP API, as backends name it"),
  key: id.describe("the key that clients connect with; everybody may know it"),
  tenant: id.describe("tenant of the rooms behind its channels"),
  secret_file: z.string().min(1).describe(
    "file with backends' key for signing channels and requests, at least 16 characters; read at start and with each reload",
  ),
  room_prefix: z.string().max(32).default("pusher:").refine(
    (text) => isRoomPattern(`${text}*`),
    { error: "expected at most 32 of [A-Za-z0-9_~:=-]" },
  ).describe("prefix of a channel's room id; empty: every room of the tenant is a channel"),
  client_events: z.boolean().default(false).describe(
    "let clients publish client-* events to private and presence channels that they are in",
  ),
  subscription_count: z.boolean().default(false).describe(
    "tell clients how many subscribers their public and private channels have",
  ),
});
/** An app of the configuration. */
export type PusherApp = z.output<typeof App>;

const unique = (member: "id" | "key") =>
  refuseRepeated({
    list: "pusher.apps",
    members: [member],
    shown: member,
    same: `the same ${member}`,
    expected: "expected each once",
  });

/** `[pusher]`. */
export const Pusher = z.strictObject({
  apps: z.array(App).max(1_000).superRefine(unique("id"), always).superRefine(
    unique("key"),
    always,
  ).default([]).describe(
    "apps: clients are answered at /app/{key}, and backends at /apps/{id} of the client listener",
  ),
});
/** `[pusher]`. */
export type Pusher = z.output<typeof Pusher>;

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
