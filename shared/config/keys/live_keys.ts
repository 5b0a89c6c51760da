/**
 * The keys of `config.toml` that a running process applies when it reloads the file. Every other key needs a restart.
 * This list is the promise; each component decides when it reads its keys.
 */

/** The promised keys; a list or a table of values is one key. */
export const LIVE_KEYS = [
  "server.allowed_origins",
  "server.tls_cert",
  "server.tls_key",
  "server.drain_ms",
  "ops.tls_cert",
  "ops.tls_key",
  "admin.tls_cert",
  "admin.tls_key",
  "admin.operator_tenants",
  "admin.backup_days",
  "auth.clock_skew_seconds",
  "auth.require_signature",
  "limits.memory_bytes",
  "limits.messages_per_second",
  "limits.bytes_per_second",
  "limits.user_messages_per_second",
  "limits.tenant_messages_per_second",
  "limits.tenant_bytes_per_second",
  "limits.process_messages_per_second",
  "limits.handshakes_per_second",
  "limits.rooms_per_connection",
  "limits.connections_per_user",
  "limits.connections_per_tenant",
  "policy.fuel_per_second",
  "platform.mirroring.rules",
  "platform.registry.mappings",
  "quota.tenant_messages_per_second",
  "quota.tenant_bytes_per_second",
  "quota.tenants",
  "rooms",
  "hooks",
  "webhooks.private_hosts",
  "webhooks.tenant_private_hosts",
  "webhooks.tenant_hooks",
  "journal.journal",
  "usage.prices",
  "usage.prices_from",
  "usage.budgets",
  "log.level",
  "telemetry.traces_ratio",
] as const;

/** A key that a running process applies on reload. */
export type LiveKey = typeof LIVE_KEYS[number];

/** Those of a table. */
export const liveKeysOf = (table: string): readonly LiveKey[] =>
  LIVE_KEYS.filter((key) => key.startsWith(`${table}.`));

/** Keys that are live only while they are set: a listener can turn TLS on or off only at a start. */
export const LIVE_WHILE_SET: ReadonlySet<string> = new Set([
  "server.tls_cert",
  "server.tls_key",
  "ops.tls_cert",
  "ops.tls_key",
  "admin.tls_cert",
  "admin.tls_key",
]);

/** Lists of live values that no other key restricts: what is valid in one configuration is valid beside any other. */
export const LISTS_ALONE = [
  "platform.mirroring.rules",
  "platform.registry.mappings",
  "quota.tenants",
  "hooks",
] as const satisfies readonly LiveKey[];

const KNOWN: ReadonlySet<string> = new Set(LIVE_KEYS);

/** Whether the key is one of `LIVE_KEYS`; `key` as in "limits.memory_bytes". */
export function isLiveKey(key: string): key is LiveKey {
  return KNOWN.has(key);
}
