/**
 * The storage location of a log in JetStream: its tenant's own stream, or one of a fixed number of shared streams.
 * Pure; `nats_logs.ts` decides.
 */
import {
  logSubject,
  sharedLogPattern,
  sharedLogSubject,
  sharedTenantPattern,
  tenantLogPattern,
} from "../../../subjects/subject.ts";
import type { Subject, SubjectPattern } from "../../../subjects/subject.ts";
import { samplingHash } from "../../../sampling.ts";
import { messageId } from "./nats_log_message.ts";
import type { KvKey } from "../../contract/spine.ts";

/** A stream, independent of its present name. */
export interface LogPlace {
  readonly name_key: KvKey;
  readonly prefix: string;
  readonly pattern: SubjectPattern;
  /** Where it republishes stored messages. */
  readonly republish_to: string;
  /** Its bound, and the key of `[durable]` that sets it. */
  readonly max_bytes: number;
  readonly bytes_key: "log_bytes" | "shared_bytes";
  /** A description for sentences and for fields of log lines. */
  readonly what: string;
  readonly owner: { readonly tenant_id: string } | { readonly shard: string };
}

/** One tenant's part of a location. */
export interface TenantPlace {
  readonly pattern: SubjectPattern;
  /** Throws `invalid-room`. */
  subjectOf(room_id: string): Subject;
  /** The id for the server's deduplication, unique among the rooms of the stream. */
  messageIdOf(room_id: string, key: string): string;
}

/** A stream for one tenant. Throws `tenant-mismatch` for an invalid tenant. */
export function ownPlace(tenant_id: string, log_bytes: number): LogPlace {
  return {
    name_key: [tenant_id],
    prefix: `LOG_${tenant_id}_`,
    pattern: tenantLogPattern(tenant_id),
    republish_to: `in.t.${tenant_id}.r.{{wildcard(1)}}`,
    max_bytes: log_bytes,
    bytes_key: "log_bytes",
    what: "the tenant's log",
    owner: { tenant_id },
  };
}

/** A stream that tenants share. */
export function sharedPlace(shard: string, shared_bytes: number): LogPlace {
  return {
    name_key: ["shared", shard],
    prefix: `LOGS_${shard}_`,
    pattern: sharedLogPattern(shard),
    republish_to: "in.t.{{wildcard(1)}}.r.{{wildcard(2)}}",
    max_bytes: shared_bytes,
    bytes_key: "shared_bytes",
    what: "a stream that tenants share",
    owner: { shard },
  };
}

/** A tenant in a stream of its own. */
export function aloneIn(tenant_id: string): TenantPlace {
  return {
    pattern: tenantLogPattern(tenant_id),
    subjectOf: (room_id) => logSubject(tenant_id, room_id),
    messageIdOf: messageId,
  };
}

/** A tenant in a stream that it shares. */
export function sharing(shard: string, tenant_id: string): TenantPlace {
  return {
    pattern: sharedTenantPattern(shard, tenant_id),
    subjectOf: (room_id) => sharedLogSubject(shard, tenant_id, room_id),
    // No id has a slash.
    messageIdOf: (room_id, key) => messageId(`${tenant_id}/${room_id}`, key),
  };
}

/** The shared stream of a tenant, of `streams`: two digits or more. */
export function shardOf(tenant_id: string, streams: number): string {
  return String(samplingHash(tenant_id) % BigInt(streams)).padStart(2, "0");
}
