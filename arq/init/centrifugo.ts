/**
 * Converts a Centrifugo server's configuration, of version 5 or 6 in JSON: tables for `config.toml`, files beside it,
 * and each key that is not carried over with the reason. Pure.
 */
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
  /** Carried over keys, each with its counterpart here. */
  readonly carried: readonly (readonly [key: string, what: string])[];
  /** Keys that are not carried over, each with the reason. */
  readonly left: readonly (readonly [key: string, why: string])[];
}

type Json = Readonly<Record<string, unknown>>;

const KEY_FILE = "keys/centrifugo-api.key";
const KEY_CHARS_MIN = 16;
const PROXIES = "hooks ask a backend, and policies decide in the bus: docs/hooks.md";
const OTHER_WIRE = "this transport is not supported: docs/centrifugo.md";

/** Why a key is not carried over, by a prefix of its last parts; the first match counts. */
const REASONS: readonly (readonly [key: RegExp, why: string])[] = [
  [/anonymous/, "the bus takes no client without a token"],
  [/hmac|^secret$/, "the bus verifies RS256, ES256 and EdDSA: give it no key that could sign"],
  [/(^|_|\.)proxy|proxies/, PROXIES],
  [/(^|\.)allow_/, "grants of the token say what its holder may do: docs/centrifugo.md#tokens"],
  [/insecure|skip_token/, "the bus takes no client without a token, and no backend without a key"],
  [/^admin|swagger|debug/, "admins have tokens of role admin: docs/security.md#tokens"],
  [
    /engine|redis|nats|broker|presence_manager|shard/,
    "the Spine: [nats], or embedded with data_dir",
  ],
  [/^consumers|outbox|kafka/, "commit is publish: docs/bridge.md"],
  [/push_notifications|^fcm|^apns|^hms|user_status|clickhouse/, "not there"],
  [/sockjs|webtransport|grpc|^uni_/, OTHER_WIRE],
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
  [/history_meta_ttl/, "positions of a durable room outlive its messages"],
  [/regex|channel_/, "channels are rooms by one rule: docs/centrifugo.md#channels-and-rooms"],
];

const OTHER = "unknown key: docs/moving_centrifugo.md";

const isTable = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown) => typeof value === "string" && value !== "" ? value : undefined;
const quoted = (value: string) => JSON.stringify(value);

/** The options of channels in one namespace; "" is the default namespace. */
interface Namespace {
  readonly name: string;
  readonly key: string;
  readonly options: Json;
}

/** Reads one configuration. */
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
      if (value !== undefined) return { key, value };
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

  /** Records all unread keys as not carried over. */
  leaveRest(table: Json = this.#config, above = ""): void {
    for (const [name, value] of Object.entries(table)) {
      const key = `${above}${name}`;
      if (this.#known.has(key)) continue;
      if (isTable(value)) this.leaveRest(value, `${key}.`);
      // A value that disables a feature loses nothing when it is dropped.
      else if (value !== false && value !== "" && value !== null) this.leave(key, reasonOf(key));
    }
  }

  /** All namespaces, and the options of channels without one. */
  *namespaces(): Iterable<Namespace> {
    const { key, value } = this.at("channel.namespaces", "namespaces") ?? { key: "", value: [] };
    this.#known.add(key);
    for (const [at, options] of (Array.isArray(value) ? value : []).entries()) {
      const name = isTable(options) ? text(options.name) : undefined;
      if (name !== undefined) yield { name, key: `${key}[${at}].`, options: options as Json };
    }
    const without = this.at("channel.without_namespace");
    if (without === undefined) yield { name: "", key: "", options: this.#config };
    else yield { name: "", key: `${without.key}.`, options: without.value as Json };
  }
}

const reasonOf = (key: string): string => REASONS.find(([like]) => like.test(key))?.[1] ?? OTHER;

/** Seconds of a duration in Go's notation, "1h30m"; undefined when it is invalid or zero. */
function secondsOf(value: unknown): number | undefined {
  if (typeof value === "number") return value > 0 ? value : undefined;
  const parts = [...String(value ?? "").matchAll(/(\d+(?:\.\d+)?)(h|m(?!s)|s|ms)/g)];
  const units: Readonly<Record<string, number>> = { h: 3_600, m: 60, s: 1, ms: 0.001 };
  const sum = parts.reduce((all, [, number, unit = "s"]) => all + Number(number) * units[unit]!, 0);
  return sum > 0 ? Math.max(1, Math.round(sum)) : undefined;
}

/** Prefix of a namespace's rooms: room ids cannot contain the dot of its name. */
const roomsOf = (name: string) => name === "" ? "" : `${name.replaceAll(".", "=2e")}:`;

/**
 * Personal channels, `NAMESPACE:#USER`: the token has to name its own channel, and then the bus subscribes the client.
 */
function carryPersonal(carrying: Carrying): void {
  const v6 = "client.subscribe_to_user_personal_channel";
  const enabled = carrying.at(`${v6}.enabled`, "user_subscribe_to_personal");
  if (enabled?.value !== true) return;
  const space = carrying.at(`${v6}.personal_channel_namespace`, "user_personal_channel_namespace");
  const name = text(space?.value) ?? "";
  const pattern = `${roomsOf(name)}=23*`;
  carrying.server_side.push(pattern);
  const personal = name === "" ? "#USER" : `${name}:#USER`;
  const what = `[centrifugo] server_side ${pattern}, once \`channels\` of a token has ${personal}`;
  carrying.carry(enabled.key, what);
  if (space !== undefined) carrying.carry(space.key, `[centrifugo] server_side ${pattern}`);
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
  const is_durable = typeof size === "number" && size > 0 && seconds !== undefined;
  if (is_durable) {
    lines.push("durable = true", `history_size = ${size}`, `history_ttl_seconds = ${seconds}`);
    for (const own of ["history_size", "history_ttl"]) {
      carrying.carry(key + own, `[[rooms]] ${room}`);
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
  if (options.presence === true) {
    carrying.presence.push(room);
    carrying.carry(`${key}presence`, `[centrifugo] presence ${room}`);
  }
  if (options.force_push_join_leave === true) {
    carrying.join_leave.push(room);
    carrying.carry(`${key}force_push_join_leave`, `[centrifugo] join_leave ${room}`);
  }
  for (const [option, what] of Object.entries(COVERED)) {
    if (options[option] === true) carrying.carry(key + option, what);
  }
  // A namespace exists through its class.
  if (lines.length > 0 || name !== "") {
    carrying.tables.push(["[[rooms]]", `room = ${quoted(room)}`, ...lines, ""].join("\n"));
  }
  if (name === "") return;
  const others = Object.fromEntries(Object.entries(options).filter(([own]) => own !== "name"));
  carrying.leaveRest(others, key);
}

/** An issuer for the public key, or the key set, of its tokens. */
function carryTokens(carrying: Carrying, prefix: string, v5: string, audience: string): void {
  const keyOf = (name: string) => carrying.at(`${prefix}.${name}`, `${v5}_${name}`);
  const found = (["rsa_public_key", "ecdsa_public_key", "jwks_public_endpoint"] as const)
    .map((name) => ({ name, at: keyOf(name) })).filter(({ at }) => text(at?.value) !== undefined);
  for (const { name, at } of found) {
    if (carrying.has_issuer) {
      carrying.leave(at!.key, "an issuer has one key or key set; add one with another `iss`");
      continue;
    }
    const value = String(at!.value);
    const path = `keys/${v5.replaceAll("_", "-")}.pem`;
    const is_url = name === "jwks_public_endpoint";
    if (is_url && !isFetchable(value)) {
      carrying.leave(
        at!.key,
        "keys come over https, or from this machine: [[auth.issuers]] jwks_url",
      );
      continue;
    }
    if (!is_url) carrying.files.push({ path, data: `${value.trim()}\n`, mode: 0o644 });
    const said = (claim: "issuer" | "audience", absent: string) => {
      const given = keyOf(claim);
      const named = text(given?.value);
      if (named !== undefined) carrying.carry(given!.key, `\`${claim}\` of [[auth.issuers]]`);
      return quoted(named ?? absent);
    };
    const algorithms = { rsa_public_key: ["RS256"], ecdsa_public_key: ["ES256"] };
    carrying.tables.push(`[[auth.issuers]]
issuer = ${said("issuer", "centrifugo")}
audience = ${said("audience", audience)}
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
  const allowed = Array.isArray(origins?.value)
    ? origins.value.filter((one) => typeof one === "string")
    : [];
  if (allowed.length > 0) carrying.carry(origins!.key, "[server] allowed_origins");
  carryTokens(carrying, "client.token", "token", audience);
  const key = carrying.at("http_api.key", "api_key");
  const api_key = text(key?.value);
  let api = "";
  if (api_key !== undefined && api_key.length < KEY_CHARS_MIN) {
    carrying.leave(
      key!.key,
      `a key has at least ${KEY_CHARS_MIN} characters: [[centrifugo.api_keys]]`,
    );
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
