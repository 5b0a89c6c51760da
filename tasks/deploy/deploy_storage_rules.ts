/**
 * Our own rules for the storage of a deployment: the disk has space for everything that NATS may store, and NATS has
 * space for the tenants' quotas and the control data. Pure; the other rules are in `deploy_rules.ts`.
 */
import { controlBudget } from "../../shared/spine/contract/storage_plan.ts";
import { type Configs, sizeBytes } from "./deploy_rules.ts";
import type { Document } from "./deploy_validate.ts";

/** Factor for NATS' overhead beside messages: indexes, Raft logs, blocks before compaction. */
const DISK_SHARE = 1.1;
/** The units of sizes in NATS: `G` is decimal, `GB` is binary. */
const NATS_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  KB: 2 ** 10,
  MB: 2 ** 20,
  GB: 2 ** 30,
  TB: 2 ** 40,
};

/** The bytes of `max_file_store` in the configuration of a server; NaN if it is absent. */
export function natsStorageBytes(text: string): number {
  const [, digits, unit = ""] = /^\s*max_file(?:_store)?:\s*(\d+)([A-Z]*)\s*$/im.exec(text) ?? [];
  return Number(digits) * (NATS_UNITS[unit.toUpperCase()] ?? NaN);
}

/** The bytes that a Shield's configuration promises to all tenants; NaN if it does not give the number of tenants. */
function promisedInAll({ shield, brain }: Configs, storage_bytes: number): number {
  const { durable, nats, audit } = shield;
  const { tenants = NaN, log_bytes, shared_streams, shared_bytes } = durable;
  const control_bytes = controlBudget(nats?.control_bytes ?? 0, storage_bytes);
  const is_shared = shared_streams > 0 && !Number.isNaN(tenants);
  const logs = is_shared ? shared_streams * shared_bytes : tenants * log_bytes;
  const reducer_bytes = brain.reducers.length === 0 ? 0 : brain.nats?.reducer_bytes ?? 0;
  return logs + control_bytes + reducer_bytes + audit.log_bytes;
}

/**
 * The problems of a deployment's storage. `disk_bytes` is undefined if the deployment does not give the size of its
 * disk.
 */
export function storageProblems(
  name: string,
  nats_conf: string,
  configs: Configs,
  disk_bytes: number | undefined,
): string[] {
  const storage_bytes = natsStorageBytes(nats_conf);
  const promised = promisedInAll(configs, storage_bytes);
  const declared = [configs.shield, configs.brain].map(({ nats }) => nats?.storage_bytes);
  const problems: (readonly [string, boolean])[] = [
    ["nats.conf: expected max_file_store", !(storage_bytes > 0)],
    [
      `[nats] storage_bytes: expected max_file_store of nats.conf, ${storage_bytes}`,
      declared.some((bytes) => bytes !== storage_bytes),
    ],
    [
      `[durable] tenants x log_bytes (or shared_streams x shared_bytes), [nats] control_bytes, with [[reducers]] its reducer_bytes, and [audit] log_bytes are ${promised} bytes, ` +
      `expected at most max_file_store of nats.conf, ${storage_bytes}`,
      !(promised <= storage_bytes),
    ],
    [
      `expected a disk of ${DISK_SHARE} times max_file_store of nats.conf or more`,
      disk_bytes !== undefined && !(disk_bytes >= DISK_SHARE * storage_bytes),
    ],
  ];
  return problems.filter(([, holds]) => holds).map(([what]) => `${name}: ${what}`);
}

/** The size of each NATS server's disk in the manifests, in bytes. */
export function diskBytes(documents: readonly Document[]): number {
  const nats = documents.find(({ kind, metadata }) =>
    kind === "StatefulSet" && metadata.name === "nats"
  );
  return sizeBytes(nats?.spec.volumeClaimTemplates?.[0]?.spec.resources.requests.storage);
}
