/**
 * Converts a Centrifugo server's configuration, of version 5 or 6: tables for `config.toml`, files beside it,
 * and each key that is not carried over with the reason. Pure.
 */
import { createPublicKey } from "node:crypto";
import { isRoomPattern } from "@arqon/proto";
import { isFetchable } from "../../shared/config/values/schema_values.ts";

/** A configuration carried over. */
export interface FromCentrifugo {
  /** Tables of TOML that follow those of `arq init`. */
  readonly toml: string;
  /** Undefined: the configuration names none. */
  readonly origins: readonly string[] | undefined;
  readonly files: readonly {
    readonly path: string;
    readonly data: string;
    readonly mode: number;
  }[];
  readonly carried: readonly (readonly [key: string, what: string])[];
  /** Keys that are not carried over, each with the reason. */
  readonly left: readonly (readonly [key: string, why: string])[];
}

type Json = Readonly<Record<string, unknown>>;

const KEY_FILE = "keys/centrifugo-api.key";
const KEY = /^[\x21-\x7e][\x20-\x7e]{14,254}[\x21-\x7e]$/;
const HISTORY_MAX = 1_000_000;
const TTL_MAX = 315_360_000;
const PATTERNS_MAX = 64;
const ISSUER = "an issuer of [[auth.issuers]] has one public key, or key set";
const PROXIES = "hooks call a backend, and policies decide in the bus: docs/hooks.md";
const OTHER_WIRE = "this transport is not supported: docs/centrifugo.md";

/** Why a key is not carried over, by a prefix of its last parts; the first match counts. */
const REASONS: readonly (readonly [key: RegExp, why: string])[] = [
  [/anonymous/, "the bus accepts no client without a token"],
  [
    /hmac|^secret$/,
    "the bus accepts no symmetric key, which could sign: docs/moving_centrifugo.md#tokens",
  ],
  [/(^|_|\.)proxy|proxies/, PROXIES],
  [/(^|\.)allow_/, "the token's grants define the permissions: docs/centrifugo.md#tokens"],
  [
    /insecure|skip_token/,
    "the bus accepts no client without a token, and no backend without a key",
  ],
  [/^admin|swagger|debug/, "admins have tokens of role admin: docs/security.md#tokens"],
  [
    /engine|redis|nats|broker|presence_manager|shard/,
    "the Spine: [nats], or embedded with data_dir",
  ],
  [/^consumers|outbox|kafka/, "commit is publish: docs/bridge.md"],
  [/push_notifications|^fcm|^apns|^hms|user_status|clickhouse/, "not supported"],
  [/sockjs|webtransport|grpc|^uni_/, OTHER_WIRE],
  [/^(sse|http_stream|websocket)\b/, "always available with [centrifugo] enabled"],
  [/^rpc/, "rpc calls a command of a room: docs/centrifugo.md#what-there-is"],
  [/error_mode$/, "backends choose it with a header: docs/centrifugo.md#the-server-api"],
  [/subscription_token/, "channel tokens have the same issuers: docs/centrifugo.md#tokens"],
  [
    /port|address|^tls|\.tls/,
    "[server], [ops] and [admin] have the bus's own: docs/configuration.md",
  ],
  [
    /^log|prometheus|health|graphite|opentelemetry/,
    "[log], [ops] and [telemetry]: docs/monitoring.md",
  ],
  [/limit|max|size|timeout|interval|delay|concurrency/, "the bus has its own: docs/limits.md"],
  [/audience_regex|issuer_regex/, "an issuer and an audience are names"],
  [/(^|[._])(issuer|audience|public_key|jwks_public_endpoint)$/, ISSUER],
  [
    /subscription_type|(^|[._])map([._]|$)|shared_poll/,
    "no maps: docs/centrifugo.md#what-there-is",
  ],
  [/history_meta_ttl/, "positions of a durable room outlive its messages"],
  [/regex|channel_/, "channels are rooms by one rule: docs/centrifugo.md#channels-and-rooms"],
];

const OTHER = "unknown key: docs/moving_centrifugo.md";

const isTable = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown) =>
  typeof value === "string" && /^[^\p{Cc}\p{Cs}]+$/u.test(value) ? value : undefined;
const quoted = (value: string) => JSON.stringify(value);

/** The options of channels in one namespace; "" is the default namespace. */
interface Namespace {
  readonly name: string;
  readonly key: string;
  readonly options: Json;
}

class Carrying {
  readonly carried: [string, string][] = [];
  readonly left: [string, string][] = [];
  readonly files: FromCentrifugo["files"][number][] = [];
  readonly presence: string[] = [];
  readonly join_leave: string[] = [];
  readonly server_side: string[] = [];
  readonly tables: string[] = [];
  has_issuer = false;
  readonly #config: Json;
  readonly #known = new Set<string>();

  constructor(config: Json) {
    this.#config = config;
  }

  /** The value of the first existing key, with that key. */
  at(...keys: string[]): { readonly key: string; readonly value: unknown } | undefined {
    for (const key of keys) {
      const value = key.split(".").reduce<unknown>(
        (table, name) => isTable(table) && Object.hasOwn(table, name) ? table[name] : undefined,
        this.#config,
      );
      if (value !== undefined && value !== null) return { key, value };
    }
    return undefined;
  }

  carry(key: string, what: string): void {
    this.#known.add(key);
    this.carried.push([key, what]);
  }

  leave(key: string, why: string): void {
    this.#known.add(key);
    this.left.push([key, why]);
  }

  /** Adds a pattern of rooms to a key of `[centrifugo]`, for an option that says so. */
  pattern(name: "presence" | "join_leave" | "server_side", room: string, ...keys: string[]): void {
    const is_full = this[name].length === PATTERNS_MAX;
    if (!is_full) this[name].push(room);
    for (const key of keys) {
      if (is_full) this.leave(key, `[centrifugo] ${name} has at most ${PATTERNS_MAX} patterns`);
      else this.carry(key, `[centrifugo] ${name} ${room}`);
    }
  }

  /** Leaves what nothing has looked at. */
  leaveRest(table: Json = this.#config, above = ""): void {
    for (const [name, value] of Object.entries(table)) {
      const key = `${above}${name}`;
      if (this.#known.has(key)) continue;
      if (isTable(value)) this.leaveRest(value, `${key}.`);
      // What says no, or nothing, has no meaning that could be lost.
      else if (![false, "", 0, null].includes(value as null)) this.leave(key, reasonOf(key));
    }
  }

  /** All namespaces, and the options of channels without one. */
  *namespaces(): Iterable<Namespace> {
    const { key, value } = this.at("channel.namespaces", "namespaces") ?? { key: "", value: [] };
    const names = new Set<string>();
    if (Array.isArray(value)) this.#known.add(key);
    for (const [at, options] of (Array.isArray(value) ? value : []).entries()) {
      const name = isTable(options) ? text(options.name) : undefined;
      const problem = name === undefined
        ? "a namespace is a table with a name"
        : names.has(name)
        ? "another namespace above has this name"
        : isRoomPattern(`${roomsOf(name)}*`)
        ? undefined
        : "no room's id begins so: docs/centrifugo.md#channels-and-rooms";
      if (problem !== undefined) this.leave(`${key}[${at}]`, problem);
      else yield { name: name!, key: `${key}[${at}].`, options: options as Json };
      names.add(name ?? "");
    }
    const without = this.at("channel.without_namespace");
    if (without === undefined) yield { name: "", key: "", options: this.#config };
    else if (isTable(without.value)) {
      yield { name: "", key: `${without.key}.`, options: without.value };
    }
  }
}

const reasonOf = (key: string): string => REASONS.find(([like]) => like.test(key))?.[1] ?? OTHER;

const UNITS: Readonly<Record<string, number>> = {
  h: 3_600,
  m: 60,
  s: 1,
  ms: 1e-3,
  us: 1e-6,
  "µs": 1e-6,
  ns: 1e-9,
};
const PART = /(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)/g;

/** Seconds of a duration as Go writes it, "1h30m", or as a number of ns; undefined: it is none, or less than one. */
function secondsOf(value: unknown): number | undefined {
  const written = typeof value === "number" ? `${value}ns` : text(value) ?? "";
  if (written.replaceAll(PART, "") !== "") return undefined;
  const sum = [...written.matchAll(PART)]
    .reduce((all, [, number, unit = ""]) => all + Number(number) * UNITS[unit]!, 0);
  return sum >= 1 ? Math.min(TTL_MAX, Math.round(sum)) : undefined;
}

/** Prefix of a namespace's rooms: room ids cannot contain the dot of its name. */
const roomsOf = (name: string) => name === "" ? "" : `${name.replaceAll(".", "=2e")}:`;

/** A public key of tokens as the bus reads it; undefined: it is none that it takes. */
function publicPem(pem: string, kind: "rsa" | "ec"): string | undefined {
  try {
    const key = createPublicKey(pem);
    const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType !== kind) return undefined;
    const is_taken = kind === "rsa" ? modulusLength >= 2_048 : namedCurve === "prime256v1";
    return is_taken ? String(key.export({ type: "spki", format: "pem" })) : undefined;
  } catch {
    // It is no key.
    return undefined;
  }
}

/** Personal channels, `NAMESPACE:#USER`: a token has to name its own, and then the bus subscribes the client. */
function carryPersonal(carrying: Carrying): void {
  const v6 = "client.subscribe_to_user_personal_channel";
  const enabled = carrying.at(`${v6}.enabled`, "user_subscribe_to_personal");
  if (enabled?.value !== true) return;
  const space = carrying.at(`${v6}.personal_channel_namespace`, "user_personal_channel_namespace");
  const name = text(space?.value) ?? "";
  const pattern = `${roomsOf(name)}=23*`;
  if (!isRoomPattern(pattern)) return;
  const personal = name === "" ? "#USER" : `${name}:#USER`;
  carrying.pattern("server_side", pattern, ...(space === undefined ? [] : [space.key]));
  const what = `[centrifugo] server_side ${pattern}, once \`channels\` of a token has ${personal}`;
  carrying.carry(enabled.key, what);
}

/** Channel options that need no option of their own here. */
const COVERED: Readonly<Record<string, string>> = {
  join_leave: "clients request it; those that do are members",
  force_recovery: "durable rooms recover, always",
  force_positioning: "durable rooms are positioned, always",
};

function carryNamespace(carrying: Carrying, { name, key, options }: Namespace): void {
  const room = `${roomsOf(name)}*`;
  const { history_size: size, history_ttl: ttl, allowed_delta_types: deltas } = options;
  const seconds = secondsOf(ttl);
  const lines: string[] = [];
  const is_durable = Number.isInteger(size) && Number(size) > 0 && seconds !== undefined;
  if (is_durable) {
    const kept = {
      history_size: Math.min(HISTORY_MAX, Number(size)),
      history_ttl_seconds: seconds,
    };
    lines.push(
      "durable = true",
      ...Object.entries(kept).map(([own, value]) => `${own} = ${value}`),
    );
    carrying.carry(`${key}history_size`, `[[rooms]] ${room}: ${kept.history_size}`);
    carrying.carry(`${key}history_ttl`, `[[rooms]] ${room}: ${seconds} s`);
  } else {
    for (const own of ["history_size", "history_ttl"] as const) {
      if (!options[own]) continue;
      carrying.leave(key + own, "a history has a size, and a time such as 300s: [[rooms]] durable");
    }
  }
  if (is_durable && options.force_recovery_mode === "cache") {
    lines.push("cache_last = true");
    carrying.carry(`${key}force_recovery_mode`, "cache_last");
  }
  if (Array.isArray(deltas) && deltas.includes("fossil")) {
    lines.push('delta = "fossil"');
    carrying.carry(`${key}allowed_delta_types`, "delta");
    if (options.delta_publish === true) carrying.carry(`${key}delta_publish`, "delta");
  }
  if (options.presence === true) carrying.pattern("presence", room, `${key}presence`);
  if (options.force_push_join_leave === true) {
    carrying.pattern("join_leave", room, `${key}force_push_join_leave`);
  }
  for (const [option, what] of Object.entries(COVERED)) {
    if (options[option] === true) carrying.carry(key + option, what);
  }
  // A namespace exists through its class.
  if (lines.length > 0 || name !== "") {
    carrying.tables.push(["[[rooms]]", `room = ${quoted(room)}`, ...lines, ""].join("\n"));
  }
  if (name === "") return;
  carrying.carry(`${key}name`, `[[rooms]] ${room}`);
  const others = Object.fromEntries(Object.entries(options).filter(([own]) => own !== "name"));
  carrying.leaveRest(others, key);
}

/** Whether a key set may be fetched there: an address without a name of a person, and without a part to fill in. */
function isKeySetUrl(url: string): boolean {
  if (!isFetchable(url) || text(url) === undefined || url.includes("{{")) return false;
  const { username, password } = new URL(url);
  return username === "" && password === "";
}

/** An issuer for the public key, or the key set, of their tokens. */
function carryTokens(carrying: Carrying, prefix: string, v5: string, audience: string): void {
  const keyOf = (name: string) => carrying.at(`${prefix}.${name}`, `${v5}_${name}`);
  const found = (["rsa_public_key", "ecdsa_public_key", "jwks_public_endpoint"] as const)
    .map((name) => ({ name, at: keyOf(name) })).filter(({ at }) => typeof at?.value === "string");
  for (const { name, at } of found) {
    const value = String(at!.value);
    if (value === "") continue;
    const path = `keys/${v5.replaceAll("_", "-")}.pem`;
    const is_url = name === "jwks_public_endpoint";
    const pem = is_url ? undefined : publicPem(value, name === "rsa_public_key" ? "rsa" : "ec");
    const problem = carrying.has_issuer
      ? `${ISSUER}; add one with another \`iss\``
      : is_url && !isKeySetUrl(value)
      ? "keys come over https, or from this machine: [[auth.issuers]] jwks_url"
      : !is_url && pem === undefined
      ? "expected PEM of an RSA key of 2,048 bits or more, or of an EC key on P-256"
      : undefined;
    if (problem !== undefined) {
      carrying.leave(at!.key, problem);
      continue;
    }
    if (pem !== undefined) carrying.files.push({ path, data: pem, mode: 0o644 });
    const claimText = (claim: "issuer" | "audience", absent: string) => {
      const given = keyOf(claim);
      const named = text(given?.value);
      if (named !== undefined) carrying.carry(given!.key, `\`${claim}\` of [[auth.issuers]]`);
      return quoted(named ?? absent);
    };
    const algorithms = { rsa_public_key: ["RS256"], ecdsa_public_key: ["ES256"] };
    carrying.tables.push(`[[auth.issuers]]
issuer = ${claimText("issuer", "centrifugo")}
audience = ${claimText("audience", audience)}
${is_url ? `jwks_url = ${quoted(value)}` : `pem_file = ${quoted(path)}`}
algorithms = ${JSON.stringify(is_url ? ["RS256", "ES256", "EdDSA"] : algorithms[name])}
tenants = ["default"]
`);
    carrying.has_issuer = true;
    carrying.carry(at!.key, "[[auth.issuers]]: tokens need iss, aud, exp, tenant_id and role, too");
  }
}

/** Converts a configuration of Centrifugo. `audience` is used for tokens when the configuration names none. */
export function fromCentrifugo(config: Json, audience: string): FromCentrifugo {
  const carrying = new Carrying(config);
  const origins = carrying.at("client.allowed_origins", "allowed_origins");
  const list = origins?.value;
  const given: readonly unknown[] = Array.isArray(list)
    ? list
    : text(list)?.split(/[\s,]+/).filter((one) => one !== "") ?? [];
  const allowed = given.filter((one) => /^[^*]+\*?$|^\*$/.test(text(one) ?? "")) as string[];
  if (allowed.length > 0) carrying.carry(origins!.key, `[server] allowed_origins ${allowed}`);
  if (allowed.length < given.length) {
    const others = given.filter((one) => !allowed.includes(one as string));
    carrying.leave(origins!.key, `an origin has * at its end only, not ${JSON.stringify(others)}`);
  }
  carryTokens(carrying, "client.token", "token", audience);
  const key = carrying.at("http_api.key", "api_key");
  const api_key = text(key?.value);
  let api = "";
  if (api_key !== undefined && !KEY.test(api_key)) {
    carrying.leave(key!.key, "a key has 16 to 256 characters: [[centrifugo.api_keys]]");
  } else if (api_key !== undefined) {
    carrying.files.push({ path: KEY_FILE, data: `${api_key}\n`, mode: 0o600 });
    carrying.carry(key!.key, `[[centrifugo.api_keys]] ${KEY_FILE}`);
    api = `\n[[centrifugo.api_keys]]\ntenant = "default"\nkey_file = ${quoted(KEY_FILE)}\n`;
  }
  for (const namespace of carrying.namespaces()) carryNamespace(carrying, namespace);
  carryPersonal(carrying);
  carrying.leaveRest();
  const { carried, left, files, presence, join_leave, server_side, tables } = carrying;
  const toml = `
# Carried over from Centrifugo's configuration.
[centrifugo]
enabled = true
presence = ${JSON.stringify(presence)}
join_leave = ${JSON.stringify(join_leave)}
server_side = ${JSON.stringify(server_side)}
declared_namespaces = true
${api}
${tables.join("\n")}`;
  return { toml, origins: allowed.length === 0 ? undefined : allowed, files, carried, left };
}
