/** Translates the claims of Centrifugo's tokens into grants. Pure; docs/centrifugo.md is the page for users. */
import { ArqonError, isRoomPattern } from "@arqon/proto";
import type { Claims } from "../auth/claims.ts";
import type { Action, Grant } from "../auth/identity.ts";
import { roomOf } from "./channel.ts";
import { jsonData } from "./messages.ts";
import type { ServerSide } from "./subscription.ts";

/** The most grants, the same as in the bus's own tokens. */
const GRANTS_MAX = 64;
/** The actions of the words in a cap's `allow`. A history requires `subscribe`, so `hst` alone grants nothing. */
const ALLOWED: Readonly<Record<string, readonly Action[]>> = {
  sub: ["subscribe"],
  pub: ["publish"],
  prs: ["presence"],
  hst: [],
};

const refuse = (detail: string): never => {
  throw new ArqonError("token-claim", detail);
};

function strings(value: unknown, name: string): readonly string[] {
  const is_list = Array.isArray(value) && value.every((one) => typeof one === "string");
  return is_list ? value : refuse(`${name} is not an array of strings`);
}

/**
 * The grants of Centrifugo's claims; undefined if a token has none of them. A subscription token that is used as a
 * connection token grants only its channel. Throws `token-claim`.
 */
export function grantsOf(
  { channel, channels, subs, caps }: Claims,
  room_prefix: string,
): readonly Grant[] | undefined {
  if ([channel, channels, subs, caps].every((claim) => claim === undefined)) return undefined;
  const named = [
    ...(channel === undefined ? [] : strings([channel], "channel")),
    ...(channels === undefined ? [] : strings(channels, "channels")),
    ...(subs === undefined ? [] : namesIn(subs)),
  ];
  const grants: Grant[] = named.map((name) => ({
    room: roomIn(name, room_prefix),
    actions: ["subscribe"],
  }));
  if (caps !== undefined) {
    const list = Array.isArray(caps) ? caps : refuse("caps is not an array");
    grants.push(...list.flatMap((cap, at) => grantsOfCap(cap, `caps[${at}]`, room_prefix)));
  }
  return grants.length > GRANTS_MAX ? refuse(`more than ${GRANTS_MAX} channels`) : grants;
}

const namesIn = (subs: unknown): readonly string[] =>
  typeof subs === "object" && subs !== null && !Array.isArray(subs)
    ? Object.keys(subs)
    : refuse("subs is not an object");

/** The room of a channel in a token. Throws `token-claim`. */
export function roomIn(channel: string, room_prefix: string): string {
  try {
    return roomOf(channel, room_prefix);
  } catch (error) {
    return refuse(error instanceof Error ? error.message : "a channel without a room");
  }
}

function grantsOfCap(cap: unknown, at: string, room_prefix: string): Grant[] {
  const room = (name: string) => roomIn(name, room_prefix);
  const { channels, match = "", allow } = Object(cap) as Claims;
  const actions = strings(allow, `${at}.allow`).flatMap((word) =>
    Object.hasOwn(ALLOWED, word) ? ALLOWED[word]! : refuse(`${at}.allow: ${word.slice(0, 16)}`)
  );
  if (match !== "" && match !== "wildcard") return refuse(`${at}.match: expected "wildcard"`);
  return strings(channels, `${at}.channels`).map((name) => {
    if (match === "" || !name.includes("*")) return { room: room(name), actions };
    const start = name.slice(0, -1);
    const pattern = `${start === "" ? room_prefix : room(start)}*`;
    if (!name.endsWith("*") || start.includes("*") || !isRoomPattern(pattern)) {
      return refuse(`${at}.channels: expected * at the end only`);
    }
    return { room: pattern, actions };
  });
}

/**
 * The server-side subscriptions of a token: the channels in its claims whose rooms are `isServerSide`. Throws
 * `token-claim`.
 */
export function serverSideOf(
  { channels = [], subs = {} }: Claims,
  isServerSide: (channel: string) => boolean,
): readonly ServerSide[] {
  const named = new Map<string, ServerSide>();
  for (const channel of strings(channels, "channels")) named.set(channel, { channel });
  for (const channel of namesIn(subs)) {
    const options: Claims = Object((subs as Claims)[channel]);
    const { data } = options;
    named.set(channel, {
      channel,
      info: memberMetaOf(options),
      ...(data === undefined ? {} : { data: jsonData(JSON.stringify(data)) }),
    });
  }
  const allowed = [...named.values()].filter(({ channel }) => isServerSide(channel));
  return allowed.length > GRANTS_MAX ? refuse(`more than ${GRANTS_MAX} channels`) : allowed;
}

/** The JSON of `b64info`, or else `info`; undefined if a token has neither. */
export function memberMetaOf({ info, b64info }: Claims): unknown {
  if (typeof b64info !== "string") return info;
  try {
    return JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(b64info)));
  } catch {
    return info;
  }
}
