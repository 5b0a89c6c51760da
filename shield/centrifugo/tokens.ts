/** Claims of tokens that were made for Centrifugo, as grants. Pure; the page for users is docs/centrifugo.md. */
import { ArqonError, isRoomPattern } from "@arqon/proto";
import type { Claims } from "../auth/claims.ts";
import type { Action, Grant } from "../auth/identity.ts";
import { roomOf } from "./channel.ts";
import { jsonData } from "./messages.ts";
import type { ServerSide } from "./subscription.ts";

/** As many as a token may have of our own. */
const GRANTS_MAX = 64;
/** What the words of `allow` in `caps` are here. To read a history is to subscribe: `hst` alone is nothing. */
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
 * What a token grants by Centrifugo's claims; undefined: it has none of them. A subscription token used as a token of the
 * connection grants its channel alone. Throws `token-claim`.
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

/** The room of a channel that a token names. Throws `token-claim`. */
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
 * The channels to which the server subscribes the holder of a token: those of its claims whose rooms are `isServerSide`.
 * Throws `token-claim`.
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

/** `info`, or `b64info`, of a token: JSON; undefined: it has none that is JSON. */
export function memberMetaOf({ info, b64info }: Claims): unknown {
  if (typeof b64info !== "string") return info;
  try {
    return JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(b64info)));
  } catch {
    return info;
  }
}
