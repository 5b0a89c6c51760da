/**
 * Answers backends' queries about channels: which are occupied, and their connections and users. Source:
 * https://pusher.com/docs/channels/library_auth_reference/rest-api/
 */
import { ArqonError, decodeClientText } from "@arqon/proto";
import { type ListContext, rooms, subscriberCounts } from "../admin/inspect/lists.ts";
import { ROWS_MAX } from "../admin/routing/query.ts";
import { isPusherClient } from "../auth/identity.ts";
import type { CommandContext } from "../http/command_call.ts";
import { runCommand } from "../message/command.ts";
import type { Caller } from "../message/caller.ts";
import type { App } from "./apps.ts";
import { channelOf, channelProblem, kindOf, roomOf } from "./channel.ts";
import { PresenceRoll } from "./presence_roll.ts";

const PAGE = 1_000;
const ATTRIBUTES = ["user_count", "subscription_count"] as const;

/** The dependencies of queries about channels. A query asks all Shields, like an operator's. */
export interface ChannelsContext extends Pick<CommandContext, "path" | "limits" | "own"> {
  /** Asks all Shields; undefined before the start. */
  readonly lists: () => ListContext | undefined;
  readonly presence_members: number;
}

/** The backend that sends the query. */
export interface Backend {
  readonly app: App;
  readonly caller: Caller;
}

/** The requested attributes of channels. */
type Info = ReadonlySet<string>;

/** The attributes of a channel, in the protocol's form. */
type ChannelInfo = { readonly [K in (typeof ATTRIBUTES)[number]]?: number };

/** Reads `info`. Throws `invalid-field`. */
export function readInfo(text: string | null = ""): Info {
  const wanted = new Set((text ?? "").split(",").map((one) => one.trim()).filter(Boolean));
  for (const one of wanted) {
    if (ATTRIBUTES.some((known) => known === one)) continue;
    const right = `expected ${ATTRIBUTES.join(" and ")}, separated by commas`;
    throw new ArqonError("invalid-field", `info: ${JSON.stringify(one.slice(0, 64))}; ${right}`);
  }
  return wanted;
}

/** The room of a channel. Throws `invalid-room`. */
export function requireRoom(channel: string, { room_prefix }: App): string {
  const problem = channelProblem(channel, room_prefix);
  if (problem !== undefined) throw new ArqonError("invalid-room", problem);
  return roomOf(channel, room_prefix);
}

/** Answers `GET /apps/{id}/channels`. */
export async function listChannels(
  context: ChannelsContext,
  backend: Backend,
  query: URLSearchParams,
): Promise<object> {
  const { app: { tenant: only_tenant, room_prefix } } = backend;
  const info = readInfo(query.get("info"));
  const start = query.get("filter_by_prefix") ?? "";
  if (info.has("user_count") && !start.startsWith("presence-")) {
    throw new ArqonError("invalid-field", "user_count: expected filter_by_prefix=presence-…");
  }
  const prefix = roomOf(start, room_prefix);
  const params = new URLSearchParams({ limit: `${ROWS_MAX}`, ...prefix === "" ? {} : { prefix } });
  const url = new URL(`http://bus/?${params}`);
  const found = await rooms(listsOf(context), { url, only_tenant });
  const { silent } = found.nodes as { silent: readonly string[] };
  requireAll(silent);
  if (found.truncated === true) {
    throw new ArqonError(
      "too-large",
      `more than ${ROWS_MAX} channels; narrow the query with filter_by_prefix`,
    );
  }
  const names = (found.rooms as { room_id: string }[]).flatMap(({ room_id }) => {
    const name = channelOf(room_id, room_prefix);
    return name === undefined || kindOf(name) === "user" ? [] : [name];
  });
  const channels: Record<string, ChannelInfo> = {};
  for (const [at, count] of (await countsOf(context, backend, names)).entries()) {
    // Others receive it by a pattern.
    if (count === 0) continue;
    const name = names[at]!;
    channels[name] = await infoOf(context, backend, name, info, count);
  }
  return { channels };
}

/** Answers `GET /apps/{id}/channels/{channel}`. */
export async function oneChannel(
  context: ChannelsContext,
  backend: Backend,
  channel: string,
  query: URLSearchParams,
): Promise<object> {
  const info = readInfo(query.get("info"));
  if (info.has("user_count")) requirePresence(channel);
  const [count = 0] = await countsOf(context, backend, [channel]);
  return { occupied: count > 0, ...await infoOf(context, backend, channel, info, count) };
}

/**
 * The attributes in `info` of the channels that got an event, in their order. Users are only counted in presence
 * channels.
 */
export async function infosOf(
  context: ChannelsContext,
  backend: Backend,
  channels: readonly string[],
  info: Info,
): Promise<readonly ChannelInfo[]> {
  const counts = info.has("subscription_count") ? await countsOf(context, backend, channels) : [];
  const infos: ChannelInfo[] = [];
  for (const [at, channel] of channels.entries()) {
    infos.push(await infoOf(context, backend, channel, info, counts[at] ?? 0));
  }
  return infos;
}

async function infoOf(
  context: ChannelsContext,
  backend: Backend,
  channel: string,
  info: Info,
  subscription_count: number,
): Promise<ChannelInfo> {
  const users = info.has("user_count") && kindOf(channel) === "presence"
    ? { user_count: (await rollOf(context, backend, channel)).size }
    : {};
  return { ...users, ...info.has("subscription_count") ? { subscription_count } : {} };
}

async function countsOf(
  context: ChannelsContext,
  { app }: Backend,
  channels: readonly string[],
): Promise<readonly number[]> {
  const rooms_wanted = channels.map((channel) => requireRoom(channel, app));
  const { counts, silent } = await subscriberCounts(listsOf(context), app.tenant, rooms_wanted);
  requireAll(silent);
  return counts;
}

function listsOf({ lists }: ChannelsContext): ListContext {
  const context = lists();
  if (context === undefined) throw new ArqonError("process-unavailable", "not started yet");
  return context;
}

/** A sum without all Shields is not an answer. Throws `process-unavailable`. */
function requireAll(silent: readonly string[]): void {
  if (silent.length === 0) return;
  throw new ArqonError("process-unavailable", `no answer from ${silent.join(", ").slice(0, 500)}`);
}

function requirePresence(channel: string): void {
  if (kindOf(channel) === "presence") return;
  throw new ArqonError("invalid-room", `${channel}: only presence channels have users`);
}

/** The users of a presence channel. */
export async function rollOf(
  context: ChannelsContext,
  { app, caller }: Backend,
  channel: string,
): Promise<PresenceRoll> {
  const room = requireRoom(channel, app);
  requirePresence(channel);
  const roll = new PresenceRoll(isPusherClient);
  let after: string | undefined;
  do {
    const page = await members(context, caller, room, after);
    roll.take(page.members);
    after = page.next;
    if (roll.size > context.presence_members) {
      throw new ArqonError(
        "invalid-room",
        `more than ${context.presence_members} users are in the channel`,
      );
    }
  } while (after !== undefined);
  return roll;
}

interface Page {
  readonly members: Parameters<PresenceRoll["take"]>[0];
  readonly next?: string;
}

async function members(
  context: ChannelsContext,
  caller: Caller,
  room: string,
  after: string | undefined,
): Promise<Page> {
  const data = { limit: PAGE, ...(after === undefined ? {} : { after }) };
  const frame = JSON.stringify({ op: "cmd", room, name: "presence.list", data });
  const operation = decodeClientText(frame, context.limits);
  if (operation.kind !== "publish") throw new ArqonError("internal");
  const ack = await runCommand(context, caller, operation.envelope);
  if (ack.code === 0) return JSON.parse(new TextDecoder().decode(ack.result));
  throw new ArqonError("presence-unavailable", ack.message);
}
