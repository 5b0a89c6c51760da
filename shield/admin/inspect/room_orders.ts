/**
 * Orders of an operator in a room: kicks and bans, which are commands to the Brain in the operator's name, and
 * publishing a message, which takes the path of every message. Each order is logged.
 */
import { ArqonError, decodeClientText, isReason, readAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { z } from "zod";
import { BAN_REASON_UNITS_MAX, isUserId } from "../../../shared/records/bans.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Env } from "../../../shared/env.ts";
import type { PAST_COMMAND } from "../../../shared/records/reducer_past.ts";
import { commandSubject } from "../../../shared/subjects/subject.ts";
import type { AdminCall, RouteBody } from "../routing/admin_routes.ts";
import { roomEpoch } from "../../../shared/rooms/epoch.ts";
import type { FlushQueue } from "../../connection/flush_queue.ts";
import { admit, type MessagePath, publishAdmitted } from "../../message/pipeline.ts";
import { NONE_ADDED, stamp } from "../../message/stamp.ts";
import { readValueAndText } from "../../../shared/listeners/request_body.ts";
import { policyHeaders } from "../../auth/request_headers.ts";
import { type IngressContext, takeIngress } from "../../rates/http_rates.ts";
import { bodyOf } from "../../openapi/openapi_parts.ts";
import { checked, Id } from "../routing/query.ts";
import type { Answer } from "./lists.ts";

/** What orders need of the process. */
export interface OrderContext extends IngressContext, Pick<Env, "log"> {
  readonly path: MessagePath;
  readonly flushes: Pick<FlushQueue, "confirmed">;
  readonly config: Pick<Config, "limits">;
}

/** Ten years, in ms; a longer ban is one without `ttl_ms`. */
const TTL_MAX_MS = 315_360_000_000;
/** The header of messages from the admin API; its value is the admin's tenant. Clients cannot send it. */
const ADMIN_HEADER = "x-arqon-admin";

const UserId = z.string().refine(isUserId, { error: "expected a user id of 1 to 128 bytes" });
const Reason = z.string().max(BAN_REASON_UNITS_MAX).optional();

/** The body of a kick. */
export const KickBody = z.strictObject({
  user_id: UserId.optional(),
  connection_id: Id.optional(),
  reason: Reason,
}).refine(
  ({ user_id, connection_id }) => (user_id === undefined) !== (connection_id === undefined),
  { error: "expected either user_id or connection_id" },
);

/** The body of a ban. */
export const BanBody = z.strictObject({
  user_id: UserId,
  scope: z.enum(["tenant", "room"]),
  /** How long the ban lasts; absent: it never expires. */
  ttl_ms: z.int().min(1).max(TTL_MAX_MS).optional(),
  reason: Reason,
});

/** The members of a text PUB frame that apply here. */
const MessageBody = z.strictObject({
  type: z.string(),
  data: z.unknown().optional(),
  content_type: z.string().optional(),
});

/** The body of a message, as JSON text; it is validated, and kept unchanged. */
export const MESSAGE_BODY: RouteBody<OrderContext, string> = {
  schema: bodyOf(MessageBody),
  async read(request, { config: { limits } }) {
    const { value, text } = await readValueAndText(request, limits.max_frame_bytes);
    checked(value, MessageBody);
    return text;
  },
};

/** A Brain's refusal, with its own wording. */
function refusalOf({ code, reason, message, retry_after_ms }: Ack): ArqonError {
  if (!isReason(reason)) return new ArqonError("internal");
  const refusal = new ArqonError(reason, "", { code, retry_after_ms });
  return Object.assign(refusal, { message });
}

function envelopeOf(
  { config: { limits } }: Pick<OrderContext, "config">,
  frame: string,
): ScannedEnvelope {
  const operation = decodeClientText(frame, limits);
  if (operation.kind !== "publish") throw new ArqonError("malformed-body", "expected a message");
  return operation.envelope;
}

/** A command in an admin's name for the Brain that owns a room. */
export interface RoomRequest {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly by: string;
  readonly name: "room.kick" | "room.ban" | typeof PAST_COMMAND;
  readonly data: object;
}

/**
 * Sends a command in the operator's name to the Brain that owns the room, and gives the result. Grants, bans and
 * policies are not checked: the admin API has already authorized the operator. Rejects as the Brain refuses.
 */
export async function askOwner(
  context: Pick<OrderContext, "path" | "config">,
  { tenant_id, room_id, by: user_id, name, data }: RoomRequest,
): Promise<Record<string, unknown>> {
  const { path, config: { limits } } = context;
  const frame = JSON.stringify({ op: "cmd", room: room_id, name, data });
  const envelope = envelopeOf(context, frame);
  const request = stamp(path, { tenant_id, user_id }, envelope);
  const subject = commandSubject(tenant_id, room_id);
  const timeout_ms = limits.command_timeout_ms;
  const reply = await path.spine.request(subject, request, { timeout_ms });
  const ack = readAck(reply.payload);
  if (ack.code !== 0) throw refusalOf(ack);
  return JSON.parse(new TextDecoder().decode(ack.result));
}

const ordering = <Body extends object>(name: "room.kick" | "room.ban") =>
async (
  context: OrderContext,
  { tenant: tenant_id, room: room_id, by }: AdminCall,
  data: Body,
): Promise<Answer> => {
  const { version } = await askOwner(context, { tenant_id, room_id, by, name, data });
  context.log.info(`an operator's ${name}`, { tenant_id, room: room_id, ...data, by });
  return { tenant_id, room_id, version, ...data };
};

/** Answers `POST /v1/rooms/{tenant}/{room}/kick`. */
export const kick = ordering<z.output<typeof KickBody>>("room.kick");
/** Answers `POST /v1/rooms/{tenant}/{room}/ban`. */
export const ban = ordering<z.output<typeof BanBody>>("room.ban");

/**
 * Answers `POST /v1/rooms/{tenant}/{room}/messages`: the admin publishes, under its own user id, in the
 * room's tenant. Grants, bans, signatures, schemas, policies, quotas and rates apply as to any message.
 */
export async function publishTest(
  context: OrderContext,
  call: AdminCall,
  text: string,
): Promise<Response> {
  const { path, flushes, log } = context;
  const { tenant: tenant_id, room: room_id, by, client, request } = call;
  const envelope = envelopeOf(context, messageFrame(text, room_id));
  const identity = { ...client.identity, tenant_id };
  takeIngress(context, identity, "http_publish", envelope.size_bytes);
  const caller = {
    ...client,
    identity,
    connection_id: `http:${identity.user_key}`,
    request_headers: policyHeaders(request.headers),
  };
  const added = await admit(path, caller, envelope) ?? NONE_ADDED;
  const marked = [...added, [ADMIN_HEADER, client.identity.tenant_id]] as const;
  const stored = await publishAdmitted(path, caller, undefined, envelope, marked, path.now());
  if (stored === undefined) await flushes.confirmed();
  log.info("an operator published in a room", { tenant_id, room: room_id, by });
  const at = stored === undefined
    ? {}
    : { offset: stored.offset, epoch: roomEpoch(stored.stream, room_id) };
  return Response.json({ tenant_id, room_id, sender: by, ...at });
}

/** The body as a text frame: `data` is copied byte for byte. */
function messageFrame(text: string, room_id: string): string {
  // The text is a validated, non-empty object, so only white space can precede the brace.
  const rest = text.slice(text.indexOf("{") + 1);
  return `{"op":"pub","room":${JSON.stringify(room_id)},${rest}`;
}
