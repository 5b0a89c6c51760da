/** The audit capability of a Shield: the record of actions on the admin API. */
import type { Capability } from "../capability.ts";
import { AUDIT_ROUTES, type AuditAdminContext } from "./api.ts";
import type { Config } from "../../shared/config/schema.ts";
import { connectionId } from "../../shared/ids.ts";
import type { Env } from "../../shared/env.ts";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import type { AuditStatus } from "../../shared/audit/log.ts";
import type { AuditTrail } from "../admin/routing/audit_trail.ts";
import { WrittenTrail } from "./trail.ts";
import { AuditWriter } from "./writer.ts";

/** How often the log's state is read for metrics, in ms. */
const STATUS_MS = 30_000;
/** How long a stopping process waits for unwritten entries, in ms. */
const CLOSE_MS = 2_000;

interface AuditStart
  extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now" | "random"> {
  readonly config: Pick<Config, "audit">;
}

interface StartedAudit {
  readonly trail: AuditTrail;
  readonly admin: AuditAdminContext;
  close(): Promise<void>;
}

/** Starts the audit log. If the log cannot be opened yet, it is opened at its first use. */
function startAudit(start: AuditStart): StartedAudit {
  const { config: { audit }, spine, registry, node_id, now, random } = start;
  const log = start.log.child({ part: "audit" });
  const { on_failure } = audit;
  const writer = new AuditWriter({ spine, audit, node_id, log, now });
  const newId = () => connectionId(random);
  const trail = new WrittenTrail({ writer, on_failure, log, newId });
  const stop = register(registry, writer, now);
  writer.warm();
  return {
    trail,
    admin: { open: writer.open, log, node_id },
    async close() {
      stop();
      await trail.flush();
      await writer.close(CLOSE_MS);
    },
  };
}

/** Registers the metrics; returns a function that stops reading them. */
function register(registry: Registry, writer: AuditWriter, now: () => number): () => void {
  let status: AuditStatus | undefined;
  const read = () => {
    writer.open().then((audit) => audit.status()).then(
      (known) => status = known,
      () => status = undefined,
    );
  };
  const timer = setInterval(read, STATUS_MS);
  Deno.unrefTimer(timer);
  read();
  const oldest = () => status?.first_ms === undefined ? 0 : (now() - status.first_ms) / 1_000;
  scraped(registry, {
    "shield_audit_entries_total": [
      "Entries of the audit log: written, failed attempts, lost for good, and breaks: the log differs from what was written.",
      "outcome",
      () => ({ ...writer.counts }),
    ],
    "shield_audit_pending_entries": ["Queued entries of the audit log.", () => writer.pending],
    "shield_audit_log_bytes": [
      "Size of the audit log of all Shields; 0 while it is unknown.",
      () => status?.bytes ?? 0,
    ],
    "shield_audit_oldest_seconds": [
      "Age of the oldest entry of the audit log; 0 if it is unknown or the log is empty.",
      oldest,
    ],
  });
  return () => clearInterval(timer);
}

/** The capability, for a Shield's list. */
export const AUDIT: Capability = {
  name: "audit",
  title: "the record of actions on the admin API",
  config: ["audit"],
  stores: ["ARQON_AUDIT"],
  admin: { tables: [AUDIT_ROUTES], tags: { audit: "the record of actions on this API" } },
  start(env, { node_id }) {
    const { trail, admin, close } = startAudit({ ...env, node_id });
    return { trail, routes: AUDIT_ROUTES.serve(admin), [Symbol.asyncDispose]: close };
  },
};
